"""Control routes of the fault script: append, look, take out."""

import json

from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from sandbox.fault_kinds import Fault, read_fault
from sandbox.web.guard import ControlRoute, RefusedError, misfit, open_id_of, read_json
from sandbox.world import World

DIGITS = 18  # of a fault's number at most


class FaultControl:
    """What is still to go wrong."""

    def __init__(self, world: World) -> None:
        self._world = world

    def table(self) -> list[ControlRoute]:
        """Return the routes."""
        return [
            ControlRoute("GET", "/sandbox/faults", self.faults, "what is still to come"),
            ControlRoute("POST", "/sandbox/faults", self.add_faults, "one fault or a list"),
            ControlRoute("DELETE", "/sandbox/faults", self.clear_faults, "forget all"),
            ControlRoute("DELETE", "/sandbox/faults/{number}", self.remove_fault, "forget one"),
        ]

    async def faults(self, _request: Request) -> Response:
        """Show the faults still to come."""
        pending = self._world.faults.pending().items()
        rows = [{"number": number, **fault.model_dump()} for number, fault in pending]
        return Response(json.dumps({"faults": rows}), media_type="application/json")

    async def add_faults(self, request: Request) -> Response:
        """Append one fault or a list; all or none."""
        body = await read_json(request)
        try:
            faults = [read_fault(item) for item in (body if isinstance(body, list) else [body])]
        except ValidationError as error:
            raise misfit(error) from None
        named = [self._with_open_id(fault) for fault in faults]
        return JSONResponse({"numbers": [self._world.faults.add(fault) for fault in named]}, 201)

    async def clear_faults(self, _request: Request) -> Response:
        """Take all faults out."""
        self._world.faults.clear()
        return Response(status_code=204)

    async def remove_fault(self, request: Request) -> Response:
        """Take one fault out."""
        number = request.path_params["number"]
        if not (number.isdecimal() and len(number) <= DIGITS) or not self._world.faults.remove(int(number)):
            raise RefusedError(404, "NOT_FOUND", f"No fault {number} is pending.")
        return Response(status_code=204)

    def _with_open_id(self, fault: Fault) -> Fault:
        if fault.open_id == "*":
            return fault
        return fault.model_copy(update={"open_id": open_id_of(self._world, fault.open_id)})
