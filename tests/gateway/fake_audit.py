"""AuditService behind the gateway, from memory."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from tokhub.audit.v1 import audit_pb2, audit_pb2_grpc

from libs.errors import TokhubError
from tests.gateway.scripted import NEW_YEAR


class FakeAudit(audit_pb2_grpc.AuditServiceServicer):
    def __init__(self) -> None:
        self.records: list[audit_pb2.AuditRecord] = []
        self.summary = audit_pb2.AuditSummary(whole=True)
        self.checkpoint = ""
        self.walks = 0
        self.may_walk = asyncio.Event()
        self.may_walk.set()
        self.denials: list[tuple[str, int]] = []
        self.failure: TokhubError | None = None

    def add(self, actor: str, method: str, **values: Any) -> None:
        number = str(len(self.records))
        begun: dict[str, Any] = {
            "call_id": number,
            "begin_time": NEW_YEAR,
            "request_json": "{}",
            "request_id": f"r{number}",
        }
        self.records.insert(0, audit_pb2.AuditRecord(actor=actor, method=method, **(begun | values)))

    async def ListAuditRecords(
        self, request: audit_pb2.ListAuditRecordsRequest, _context: Any
    ) -> audit_pb2.ListAuditRecordsResponse:
        start = int(request.page_token or 0)
        found = [one for one in self.records if request.actor in ("", one.actor)]
        page = found[start : start + request.page_size]
        more = str(start + len(page)) if start + len(page) < len(found) else ""
        return audit_pb2.ListAuditRecordsResponse(records=page, next_page_token=more)

    async def VerifyAudit(
        self, request: audit_pb2.VerifyAuditRequest, _context: Any
    ) -> AsyncIterator[audit_pb2.VerifyAuditResponse]:
        self.checkpoint = request.checkpoint
        self.walks += 1
        await self.may_walk.wait()
        yield audit_pb2.VerifyAuditResponse(progress=audit_pb2.AuditProgress(rows=1, total=2))
        yield audit_pb2.VerifyAuditResponse(summary=self.summary)

    async def ReportDenial(
        self, request: audit_pb2.ReportDenialRequest, _context: Any
    ) -> audit_pb2.ReportDenialResponse:
        if self.failure:
            raise self.failure
        self.denials.append((request.attempt, request.unrecorded))
        return audit_pb2.ReportDenialResponse()
