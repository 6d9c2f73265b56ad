"""Every answer leaves through here: scripted faults, latency and the ledger's line about the call."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from sandbox.faults import FAMILIES, Endpoint, Fault
from sandbox.ledger import Event
from sandbox.web.answers import Answer, display_error, flat_error, oauth_error
from sandbox.web.shop_answers import shop_error
from sandbox.world import World

HANG_UP = "sandbox.hang_up"
HTML_PAGE = (
    "<!DOCTYPE html><html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>"
)
STATUS_FAULTS = {
    "429": ("rate_limit_exceeded", "rate_limit_exceeded", "rate_limit"),
    "500": ("server_error", "internal_error", "internal"),
    "503": ("temporarily_unavailable", "internal_error", "internal"),
}


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a client; `open_id` is None where no account can be told."""

    endpoint: Endpoint
    open_id: str | None


class BrokenAnswer(Response):
    """Sends `keep` of the announced bytes, possibly none and no header either, then hangs up."""

    def __init__(self, whole: Response, *, keep: float) -> None:
        super().__init__()
        self._whole = whole
        self._keep = keep

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Break off where it should."""
        if self._keep:
            await send(
                {"type": "http.response.start", "status": self._whole.status_code, "headers": self._whole.raw_headers}
            )
            part = bytes(self._whole.body)[: int(len(self._whole.body) * self._keep)]
            await send({"type": "http.response.body", "body": part, "more_body": True})
        hang_up = scope.get("extensions", {}).get(HANG_UP)
        if hang_up is None:
            raise ConnectionResetError("the scripted fault breaks this connection")
        hang_up()
        while (await receive())["type"] != "http.disconnect":
            pass


async def deliver(world: World, call: Call, work: Callable[[], Answer]) -> Response:
    """Do the work at once, then answer after the latency, unless a fault says otherwise."""
    fault = world.faults.take(call.endpoint, call.open_id)
    answer = (fault and _instead(world, call, fault)) or work()
    outcome = f"fault_{fault.kind}" if fault and fault.kind != "slow" else answer.outcome
    world.ledger.record(Event("called", call.endpoint, outcome, open_id=call.open_id or ""))
    await world.clock.sleep(_latency(world, call) + (fault.seconds if fault and fault.kind == "slow" else 0))
    response = answer.response()
    if fault and fault.kind == "answer_lost":
        return BrokenAnswer(response, keep=0)
    if fault and fault.kind == "truncated":
        return BrokenAnswer(response, keep=0.5)
    return response


def _latency(world: World, call: Call) -> float:
    switches = world.board.now
    usual = {
        "token": switches.latency_token_ms,
        "revoke": switches.latency_token_ms,
        "user": switches.latency_user_ms,
        "video": switches.latency_video_ms,
        "shop_token": switches.latency_shop_ms,
        "shops": switches.latency_shop_ms,
    }[FAMILIES[call.endpoint]]
    return usual / 1_000 * (1 + switches.latency_jitter * world.dice.uniform(-1, 1))


def _instead(world: World, call: Call, fault: Fault) -> Answer | None:
    """Return what is answered instead of working, or None when the work is done."""
    switches = world.board.now
    is_oauth = call.endpoint in ("token", "revoke")
    if fault.kind in STATUS_FAULTS:
        flat, enveloped, shop = STATUS_FAULTS[fault.kind]
        if call.endpoint in ("shop_token", "shops"):
            return replace(shop_error(shop), status=int(fault.kind))
        if is_oauth:
            return flat_error(int(fault.kind), flat, "This answer was scripted.")
        answer = display_error(switches, enveloped)
        return replace(answer, status=int(fault.kind))
    if fault.kind == "html":
        return Answer(502, HTML_PAGE)
    if fault.kind == "access_token_invalid":
        return display_error(switches, "access_token_invalid")
    if fault.kind == "oauth_error":
        return oauth_error(switches, fault.error, "This answer was scripted.")
    return None
