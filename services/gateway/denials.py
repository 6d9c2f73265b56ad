"""Reports to the audit trail what the holder of a key was not allowed to do, a few of many."""

import structlog
from fastapi import Request
from tokhub.audit.v1 import audit_pb2, audit_pb2_grpc

from libs.clock import Clock
from libs.errors import TokhubError
from libs.rpc.actor import current_actor
from libs.rpc.denials import Denials

REPORT_TIMEOUT = 2.0  # seconds that an answer waits at most

log = structlog.get_logger()


class DenialReports:
    """Tells the token service, which records who called for whom."""

    def __init__(self, *, audit: audit_pb2_grpc.AuditServiceStub, clock: Clock) -> None:
        self._audit = audit
        self._denials = Denials(clock)

    async def tell(self, request: Request) -> None:
        """Report a request that was denied, by its route, unless that was done a moment ago."""
        actor, attempt = current_actor(), f"{request.method} {request.scope['route'].path}"
        unrecorded = self._denials.due(actor, attempt)
        if unrecorded is None:
            return
        report = audit_pb2.ReportDenialRequest(attempt=attempt, unrecorded=unrecorded)
        try:
            await self._audit.ReportDenial(report, timeout=REPORT_TIMEOUT)
        except TokhubError as error:
            self._denials.failed(actor, attempt, unrecorded)
            log.warning("a denial is not in the audit trail", attempt=attempt, why=error.reason.value)
