"""Waits for the end of a run and answers with what it came to; who leaves ends only the wait."""

import asyncio

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from tokhub.sync.v1 import sync_pb2

from libs.errors import UpstreamUnavailable
from services.gateway.backends import Backends
from services.gateway.errors import SyncFailed
from services.gateway.following import Follower
from services.gateway.interruption import Interrupted, client_left, unless
from services.gateway.shapes.runs import carried_out, cut_short, is_cancelled, single_result, summary

CLIENT_LEFT = 499  # for the log only: nobody is there to read it


class Results:
    """Answers with the results of runs."""

    def __init__(self, *, backends: Backends, follower: Follower, stopping: asyncio.Event) -> None:
        self._sync = backends.sync
        self._follower = follower
        self._stopping = stopping

    async def answer(self, request: Request, run_id: str) -> Response:
        """Answer when the run has ended; UpstreamUnavailable with its id when the gateway stops before."""
        try:
            await unless(self._reach_end(run_id), client_left(request.receive), self._stopping.wait())
        except Interrupted:
            if self._stopping.is_set():
                raise UpstreamUnavailable(
                    "The gateway is stopping; the run goes on: ask for it by its id", metadata={"run_id": run_id}
                ) from None
            return Response(status_code=CLIENT_LEFT)
        return JSONResponse(told_result(await self._sync.GetRun(sync_pb2.GetRunRequest(run_id=run_id))))

    async def _reach_end(self, run_id: str) -> None:
        async for _ in self._follower.follow(run_id):
            pass


def told_result(ended: sync_pb2.GetRunResponse) -> dict[str, object]:
    """Return the whole answer for a run that has ended, or raise SyncFailed when it could not be carried out."""
    run, stores = ended.run, ended.ended_stores
    is_single = bool(run.store_code or run.user_id)
    if not carried_out(run) or (is_single and not stores and not is_cancelled(run)):
        raise SyncFailed(metadata={"run_id": run.id})
    if is_single:
        return {"success": True, "data": single_result(run, stores)}
    # Beside the data: who reads those takes everything in them for a job.
    return {"success": True, **({"message": cut_short(run)} if is_cancelled(run) else {}), "data": summary(run)}
