"""Waits for the end of a run and answers with what it came to, or tells how it goes; who leaves ends only the wait."""

import asyncio
from collections.abc import Mapping
from types import MappingProxyType

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from tokhub.sync.v1 import sync_pb2

from libs.errors import UpstreamUnavailable
from libs.runs.following import BEFORE_ANY, Follower
from services.gateway.backends import Backends
from services.gateway.errors import SyncFailed
from services.gateway.event_stream import EventStream, progress_events
from services.gateway.interruption import CLIENT_LEFT, Interrupted, client_left, unless
from services.gateway.shapes.runs import carried_out, cut_short, is_cancelled, single_result, summary

NO_HEADERS: Mapping[str, str] = MappingProxyType({})


class Results:
    """Answers with the results of runs, and with their progress."""

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

    def stream(
        self, request: Request, run_id: str, seen: int = BEFORE_ANY, headers: Mapping[str, str] = NO_HEADERS
    ) -> EventStream:
        """Answer with the run's progress after what was seen, as events."""
        events = progress_events(self._follower.follow(run_id, seen))
        return EventStream(events, request=request, stopping=self._stopping, headers=headers)

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
