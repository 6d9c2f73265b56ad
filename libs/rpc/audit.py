"""AuditService: what is in the audit trail of calls, told to those who may ask."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

import grpc
from tokhub.audit.v1 import audit_pb2, audit_pb2_grpc

from libs.rpc.identity import Context
from libs.rpc.server import RpcService
from libs.rpc.times import timestamp

AUDIT_SERVICE = audit_pb2.DESCRIPTOR.services_by_name["AuditService"].full_name
USUAL = 50


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


class AuditServicer(audit_pb2_grpc.AuditServiceServicer):
    """Translates and nothing else."""

    def __init__(self, calls: RecordedCalls) -> None:
        self._calls = calls

    async def ListAuditRecords(
        self, request: audit_pb2.ListAuditRecordsRequest, context: Context
    ) -> audit_pb2.ListAuditRecordsResponse:
        """Return a page of calls."""
        size = request.page_size or USUAL
        before = int(request.page_token) if request.page_token else None
        found = await self._calls.newest(before=before, actor=request.actor, limit=size + 1)
        more = str(found[size - 1].number) if len(found) > size else ""
        return audit_pb2.ListAuditRecordsResponse(
            records=[message_of(call) for call in found[:size]], next_page_token=more
        )


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


def audit_service(calls: RecordedCalls) -> RpcService:
    """Return the proto service."""
    servicer = AuditServicer(calls)

    def register(server: grpc.aio.Server) -> None:
        audit_pb2_grpc.add_AuditServiceServicer_to_server(servicer, server)

    return RpcService(name=AUDIT_SERVICE, register=register)
