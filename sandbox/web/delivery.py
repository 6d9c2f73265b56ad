"""Every answer leaves through here: scripted faults, latency and the ledger's line about the call."""

import asyncio
import zlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from sandbox.fault_kinds import (
    FAMILIES,
    AnswerLost,
    Drip,
    Endpoint,
    Fault,
    GzipBomb,
    Headers,
    Huge,
    Latency,
    ManyHeaders,
    PlainStatus,
    Reset,
    Slow,
    StatusFault,
    Truncated,
)
from sandbox.ledger import Event
from sandbox.web.answers import Answer
from sandbox.web.bending import bent
from sandbox.web.instead import instead
from sandbox.web.wire import HeaderList, WireAnswer, head, pieces_of
from sandbox.world import World

PIECE = 1 << 16


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a client; `open_id` is None where no account can be told, `peer` the client's end of the line."""

    endpoint: Endpoint
    open_id: str | None
    peer: str = ""


def call_of(request: Request, endpoint: Endpoint, open_id: str | None) -> Call:
    """Return the call this request is."""
    peer = f"{request.client.host}:{request.client.port}" if request.client else ""
    return Call(endpoint, open_id, peer)


async def deliver(world: World, call: Call, work: Callable[[], Answer]) -> Response:
    """Do the work at once, then answer after the latency, unless a fault says otherwise."""
    fault = world.faults.take(call.endpoint, call.open_id)
    with world.ledger.called_by(call.peer):
        answer = (fault and instead(world.board.now, call.endpoint, fault)) or work()
        world.ledger.record(Event("called", call.endpoint, _outcome(fault, answer), open_id=call.open_id or ""))
    await world.clock.sleep(_latency(world, call, fault))
    return damaged(world, bent(answer, fault).response(), fault)


def _outcome(fault: Fault | None, answer: Answer) -> str:
    match fault:
        case None | Slow() | Latency():
            return answer.outcome
        case StatusFault() | PlainStatus():
            return f"fault_{answer.status}"
        case _:
            return f"fault_{fault.kind}"


def _latency(world: World, call: Call, fault: Fault | None) -> float:
    if isinstance(fault, Latency):
        return fault.seconds
    switches = world.board.now
    usual = {
        "token": switches.latency_token_ms,
        "revoke": switches.latency_token_ms,
        "user": switches.latency_user_ms,
        "video": switches.latency_video_ms,
        "shop_token": switches.latency_shop_ms,
        "shops": switches.latency_shop_ms,
    }[FAMILIES[call.endpoint]]
    more = fault.seconds if isinstance(fault, Slow) else 0
    return usual / 1_000 * (1 + switches.latency_jitter * world.dice.uniform(-1, 1)) + more


def damaged(world: World, response: Response, fault: Fault | None) -> Response:
    """Return the response as it leaves the house."""
    match fault:
        case AnswerLost():
            response = WireAnswer(pieces_of())
        case Reset():
            response = WireAnswer(pieces_of(), "reset")
        case Truncated():
            response = _truncated(response, fault)
        case Drip():
            response = WireAnswer(_drip(world, response, fault))
        case Huge():
            response = StreamingResponse(_padding(fault.bytes), media_type="application/json")
        case GzipBomb():
            headers = {"Content-Encoding": "gzip"}
            response = StreamingResponse(_zipped(_padding(fault.bytes)), 200, headers, "application/json")
        case ManyHeaders():
            more: HeaderList = [(f"X-Sandbox-{number}", str(number)) for number in range(fault.headers)]
            response = _whole(response, more)
        case Headers():
            response = _whole(response, fault.headers)
    return response


def _whole(response: Response, changes: HeaderList) -> Response:
    return WireAnswer(pieces_of(head(response, changes), bytes(response.body)))


def _truncated(response: Response, fault: Truncated) -> Response:
    body = bytes(response.body)
    part = body[: len(body) // 2 if fault.at_byte is None else fault.at_byte]
    length = len(body) if fault.announced == "whole" else len(part)
    return WireAnswer(pieces_of(head(response, [("Content-Length", str(length))]), part), fault.end)


async def _drip(world: World, response: Response, fault: Drip) -> AsyncIterator[bytes]:
    parts = {"headers": head(response, []), "body": bytes(response.body)}
    for name, data in parts.items():
        if fault.part not in (name, "all"):
            yield data
            continue
        for start in range(0, len(data), fault.bytes):
            await world.clock.sleep(fault.seconds)
            yield data[start : start + fault.bytes]


async def _padding(size: int) -> AsyncIterator[bytes]:
    """Yield a JSON object of `size` bytes, or of the smallest size there is."""
    opening, closing = b'{"data":"', b'"}'
    left = size - len(opening) - len(closing)
    yield opening
    while left > 0:
        yield b"a" * min(PIECE, left)
        left -= PIECE
    yield closing


async def _zipped(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    gzip = zlib.compressobj(9, wbits=31)
    async for piece in pieces:
        # Others are answered meanwhile: a gigabyte takes seconds.
        yield await asyncio.to_thread(gzip.compress, piece)
    yield gzip.flush()
