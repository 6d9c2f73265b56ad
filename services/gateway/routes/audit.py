"""The audit trail and whether it is whole: /admin/audit."""

from fastapi import APIRouter
from starlette.responses import JSONResponse
from tokhub.audit.v1 import audit_pb2

from services.gateway.backends import Backends
from services.gateway.parameters import DEFAULT_LIMIT, Actor, KeptCheckpoint, Limit, PageToken, Trail, TrailName
from services.gateway.routes.answers import one, page
from services.gateway.shapes.audit import record, verification


class AuditRoutes:
    """Shows what operators and holders of API keys did."""

    def __init__(self, *, backends: Backends) -> None:
        self._trails = {TrailName.TOKEN: backends.token_audit, TrailName.SYNC: backends.sync_audit}

    def add_to(self, router: APIRouter) -> None:
        """Declare the routes."""
        router.add_api_route("/admin/audit", self.list_records, summary="Who did what, newest first", tags=["audit"])
        router.add_api_route(
            "/admin/audit/verify", self.verify, summary="Whether somebody has changed the trail", tags=["audit"]
        )

    async def list_records(
        self,
        service: Trail = TrailName.TOKEN,
        actor: Actor = "",
        limit: Limit = DEFAULT_LIMIT,
        page_token: PageToken = "",
    ) -> JSONResponse:
        """Answer with a page of recorded calls; nextPageToken asks for the next, and is null on the last."""
        request = audit_pb2.ListAuditRecordsRequest(page_size=limit, page_token=page_token, actor=actor)
        answer = await self._trails[service].ListAuditRecords(request)
        return page([record(each) for each in answer.records], answer.next_page_token)

    async def verify(self, service: Trail = TrailName.TOKEN, checkpoint: KeptCheckpoint = "") -> JSONResponse:
        """Answer with what a walk over the whole chain found; broken is null when nobody has been at it."""
        call = self._trails[service].VerifyAudit(audit_pb2.VerifyAuditRequest(checkpoint=checkpoint))
        try:
            *_, last = [step async for step in call]
        finally:
            call.cancel()
        return one(verification(last.summary))
