"""AuditService: what is in the audit trail of calls and whether it is whole, told to those who may ask."""

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

import grpc
from tokhub.audit.v1 import audit_pb2, audit_pb2_grpc

from libs.audit.chain import Checkpoint
from libs.audit.verification import Kind, Progress, Verification, Verified
from libs.audit.witness import CheckpointFile
from libs.rpc.identity import Context
from libs.rpc.server import RpcService
from libs.rpc.times import timestamp

AUDIT_SERVICE = audit_pb2.DESCRIPTOR.services_by_name["AuditService"].full_name
USUAL = 50
KINDS = {kind: audit_pb2.AuditBreakKind.Value(f"AUDIT_BREAK_KIND_{kind.name}") for kind in Kind}


@dataclass(frozen=True, kw_only=True)
class RecordedCall:
    """A call as the trail has it; without an end while it goes on, or when nobody could write it."""

    number: int
    call: UUID
    began: datetime
    ended: datetime | None
    actor: str
    method: str
    request: Mapping[str, Any]
    request_id: str
    outcome: str


class RecordedCalls(Protocol):
    """The trail as it is read."""

    async def newest(self, *, before: int | None, actor: str, limit: int) -> Sequence[RecordedCall]:
        """Return calls with smaller numbers, the newest first; of one actor unless that is empty."""
        ...


@dataclass(frozen=True, kw_only=True)
class AuditTrail:
    """What is asked about a trail; kept is the checkpoint that this replica keeps."""

    calls: RecordedCalls
    verification: Verification
    kept: CheckpointFile


class AuditServicer(audit_pb2_grpc.AuditServiceServicer):
    """Translates and nothing else."""

    def __init__(self, trail: AuditTrail) -> None:
        self._trail = trail

    async def ListAuditRecords(
        self, request: audit_pb2.ListAuditRecordsRequest, context: Context
    ) -> audit_pb2.ListAuditRecordsResponse:
        """Return a page of calls."""
        size = request.page_size or USUAL
        before = int(request.page_token) if request.page_token else None
        found = await self._trail.calls.newest(before=before, actor=request.actor, limit=size + 1)
        more = str(found[size - 1].number) if len(found) > size else ""
        return audit_pb2.ListAuditRecordsResponse(
            records=[message_of(call) for call in found[:size]], next_page_token=more
        )

    async def VerifyAudit(
        self, request: audit_pb2.VerifyAuditRequest, context: Context
    ) -> AsyncIterator[audit_pb2.VerifyAuditResponse]:
        """Walk the chain."""
        given = Checkpoint.parse(request.checkpoint) if request.checkpoint else None
        async for step in self._trail.verification.verify([one for one in (given, self._trail.kept.read()) if one]):
            yield step_message(step)

    async def ReportDenial(
        self, request: audit_pb2.ReportDenialRequest, context: Context
    ) -> audit_pb2.ReportDenialResponse:
        """Do nothing: it is recorded that the caller said so."""
        return audit_pb2.ReportDenialResponse()


def message_of(call: RecordedCall) -> audit_pb2.AuditRecord:
    """Return a call as it goes over the wire."""
    return audit_pb2.AuditRecord(
        call_id=str(call.call),
        begin_time=timestamp(call.began),
        end_time=timestamp(call.ended),
        actor=call.actor,
        method=call.method,
        request_json=json.dumps(call.request),
        request_id=call.request_id,
        outcome=call.outcome,
    )


def step_message(step: Progress | Verified) -> audit_pb2.VerifyAuditResponse:
    """Return how far a verification is, or what it found."""
    if isinstance(step, Progress):
        return audit_pb2.VerifyAuditResponse(progress=audit_pb2.AuditProgress(rows=step.rows, total=step.total))
    broken = audit_pb2.AuditBreak(sequence=step.broken.sequence, kind=KINDS[step.broken.kind]) if step.broken else None
    return audit_pb2.VerifyAuditResponse(
        summary=audit_pb2.AuditSummary(
            whole=broken is None,
            broken=broken,
            rows=step.rows,
            first_sequence=step.first,
            checkpoint=str(step.checkpoint or ""),
            unchained_rows=step.unchained,
        )
    )


def audit_service(trail: AuditTrail) -> RpcService:
    """Return the proto service."""
    servicer = AuditServicer(trail)

    def register(server: grpc.aio.Server) -> None:
        audit_pb2_grpc.add_AuditServiceServicer_to_server(servicer, server)

    return RpcService(name=AUDIT_SERVICE, register=register)
