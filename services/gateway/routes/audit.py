"""The audit trail: /admin/audit."""

from fastapi import APIRouter
from starlette.responses import JSONResponse
from tokhub.audit.v1 import audit_pb2

from services.gateway.backends import Backends
from services.gateway.parameters import DEFAULT_LIMIT, Actor, Limit, PageToken, Trail, TrailName
from services.gateway.shapes.audit import record


class AuditRoutes:
    """Shows what operators and holders of API keys did."""

    def __init__(self, *, backends: Backends) -> None:
        self._trails = {TrailName.TOKEN: backends.token_audit, TrailName.SYNC: backends.sync_audit}

    def add_to(self, router: APIRouter) -> None:
        """Declare the route."""
        router.add_api_route("/admin/audit", self.list_records, summary="Who did what, newest first", tags=["audit"])

    async def list_records(
        self,
        service: Trail = TrailName.TOKEN,
        actor: Actor = "",
        limit: Limit = DEFAULT_LIMIT,
        page_token: PageToken = "",
    ) -> JSONResponse:
        """Answer with a page of recorded calls; nextPageToken asks for the next, and is null on the last."""
        request = audit_pb2.ListAuditRecordsRequest(page_size=limit, page_token=page_token, actor=actor)
        page = await self._trails[service].ListAuditRecords(request)
        records = [record(each) for each in page.records]
        return JSONResponse(
            {"success": True, "data": records, "count": len(records), "nextPageToken": page.next_page_token or None}
        )
