"""What people do is written down before it is done, and how it ended after it: no record, no call. So are denials."""

import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, Protocol

import structlog
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message

from libs.errors import StorageUnavailable, TokhubError
from libs.rpc.actor import current_actor
from libs.rpc.denials import Denials
from libs.rpc.gate import Gate
from libs.rpc.identity import Caller, Context
from libs.rpc.policy import FOR_A_KEY, Roles
from libs.rpc.request_id import current_request_id

BEGUN, OK, CANCELLED, INTERNAL = "BEGUN", "OK", "CANCELLED", "INTERNAL"
# Of a call that was not let in: it has this one record.
DENIED = "DENIED"
# No call: rows from before the one that the request names were too old and are gone.
PRUNED = "PRUNED"

Unary = Callable[[Any, Context], Awaitable[Any]]
Stream = Callable[[Any, Context], AsyncIterator[Any]]

log = structlog.get_logger()


@dataclass(frozen=True, kw_only=True)
class Record:
    """One moment of a call, its beginning or its end; both have the same call id."""

    call: uuid.UUID
    actor: str
    method: str
    request: Mapping[str, Any]
    request_id: str
    outcome: str = BEGUN


class Trail(Protocol):
    """Where records are kept."""

    async def append(self, record: Record) -> None:
        """Keep a record; raise StorageUnavailable when it is not kept."""
        ...


class Recorder:
    """Records the calls to some methods by callers of some roles, and leaves all others alone; and calls denied."""

    def __init__(self, *, gate: Gate, recorded: Mapping[str, Roles], trail: Trail, denials: Denials) -> None:
        self._gate = gate
        self._recorded = recorded
        self._trail = trail
        self._denials = denials

    def unary(self, method: str, behaviour: Unary) -> Unary:
        """Return the same method, recorded."""
        roles = self._recorded.get(method)
        if roles is None:
            return behaviour

        async def answer(request: Any, context: Context) -> Any:
            if not self._concerns(context, roles):
                return await behaviour(request, context)
            async with self._around(method, request):
                return await behaviour(request, context)

        return answer

    def stream(self, method: str, behaviour: Stream) -> Stream:
        """Return the same method, recorded."""
        roles = self._recorded.get(method)
        if roles is None:
            return behaviour

        async def answer(request: Any, context: Context) -> AsyncIterator[Any]:
            if not self._concerns(context, roles):
                async for response in behaviour(request, context):
                    yield response
                return
            async with self._around(method, request):
                async for response in behaviour(request, context):
                    yield response

        return answer

    async def denied(self, caller: Caller, method: str) -> None:
        """Record that a caller was not let in, unless that was recorded a moment ago."""
        unrecorded = self._denials.due(caller.name, method)
        if unrecorded is None:
            return
        request = {"unrecorded": unrecorded} if unrecorded else {}
        try:
            await self._trail.append(replace(new_record(method, request), outcome=DENIED))
        except StorageUnavailable:
            self._denials.failed(caller.name, method, unrecorded)
            log.error("a denial is not in the audit trail", method=method, actor=current_actor())

    def _concerns(self, context: Context, roles: Roles) -> bool:
        role = self._gate.recognise(context).role
        return role in roles or (FOR_A_KEY in roles and " for key/" in current_actor())

    @asynccontextmanager
    async def _around(self, method: str, request: Message) -> AsyncIterator[None]:
        record = new_record(method, without_secrets(request))
        await self._trail.append(record)
        outcome = CANCELLED
        try:
            yield
            outcome = OK
        except TokhubError as error:
            outcome = error.reason.value
            raise
        except Exception:
            outcome = INTERNAL
            raise
        finally:
            await self._keep(replace(record, outcome=outcome, request={}))

    async def _keep(self, record: Record) -> None:
        try:
            await self._trail.append(record)
        except StorageUnavailable:
            log.error(
                "how a call ended is not in the audit trail",
                method=record.method,
                call=str(record.call),
                outcome=record.outcome,
            )


def new_record(method: str, request: Mapping[str, Any]) -> Record:
    """Return the beginning of a call of this task."""
    return Record(
        call=uuid.uuid4(), actor=current_actor(), method=method, request=request, request_id=current_request_id()
    )


def without_secrets(request: Message) -> Mapping[str, Any]:
    """Return a request as JSON, without the fields that its proto marks with debug_redact."""
    shown = type(request)()
    shown.CopyFrom(request)
    redact(shown)
    return MessageToDict(shown)


def redact(message: Message) -> None:
    """Clear every field of a message that is marked, and of the messages in it."""
    for field, value in message.ListFields():
        if field.GetOptions().debug_redact:
            message.ClearField(field.name)
        elif field.message_type and not field.message_type.GetOptions().map_entry:
            for part in value if field.is_repeated else [value]:
                redact(part)
