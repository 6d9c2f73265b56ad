"""Control routes of the webhooks: send any, in any condition, and see what became of them."""

from collections.abc import Callable
from dataclasses import replace
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from sandbox.clock import DAY_SECONDS
from sandbox.notices import REMOVED, UPCOMING_EXPIRATION, Notice, expiration, login_notice, shop_notices
from sandbox.outbox import Handling
from sandbox.web.guard import ControlBody, ControlRoute, RefusedError, misfit, open_id_of, read_plain_json
from sandbox.world import World

Span = Annotated[float, Field(ge=0, le=366 * DAY_SECONDS)]


class _WebhookBody(ControlBody):
    """What both families take: how the webhook is signed, aged, doubled and delayed; `raw` replaces the body."""

    open_id: str
    signature: Literal["right", "wrong", "absent"] = "right"
    age_seconds: Annotated[float, Field(ge=-DAY_SECONDS, le=366 * DAY_SECONDS)] = 0
    signed_age_seconds: Annotated[float, Field(ge=-DAY_SECONDS, le=366 * DAY_SECONDS)] = 0
    copies: Annotated[int, Field(ge=1, le=1_000)] = 1
    delay_seconds: Span = 0
    retry: bool = True
    raw: str | None = None

    def handling(self) -> Handling:
        """Return how it is sent."""
        return Handling(self.signature, self.signed_age_seconds, self.delay_seconds, self.copies, self.retry)


class LoginWebhook(_WebhookBody):
    """A webhook of TikTok for Developers."""

    provider: Literal["login"]
    event: str = REMOVED
    reason: Annotated[int, Field(ge=0, le=5)] = 1
    content: dict[str, Any] | None = None


class ShopWebhook(_WebhookBody):
    """A webhook of TikTok Shop."""

    provider: Literal["shop"]
    type: Annotated[int, Field(ge=1, le=1_000)] = 6
    expires_in_seconds: Span = 30 * DAY_SECONDS
    data: dict[str, Any] | None = None


_BODIES: TypeAdapter[list[LoginWebhook | ShopWebhook]] = TypeAdapter(
    list[Annotated[LoginWebhook | ShopWebhook, Field(discriminator="provider")]]
)


class WebhookControl:
    """Sends webhooks on request."""

    def __init__(self, world: World) -> None:
        self._world = world

    def table(self) -> list[ControlRoute]:
        """Return the routes."""
        return [
            ControlRoute("POST", "/sandbox/webhooks", self.send, "send one or a list, in its order"),
            ControlRoute("GET", "/sandbox/webhooks", self.log, "deliveries and their attempts"),
            ControlRoute("DELETE", "/sandbox/webhooks", self.clear, "withdraw and forget all"),
        ]

    async def send(self, request: Request) -> Response:
        """Send webhooks; all or none."""
        value = await read_plain_json(request)
        try:
            bodies = _BODIES.validate_python(value if isinstance(value, list) else [value])
        except ValidationError as error:
            raise misfit(error) from None
        batches = [(self._notices(body), body.handling()) for body in bodies]
        for notices, _ in batches:
            if not self._world.outbox.has_target(notices[0]):
                raise RefusedError(409, "NO_TARGET", "Set webhook_url or shop_webhook_url first.")
        numbers = [number for batch in batches for number in self._world.outbox.send(*batch)]
        return JSONResponse({"numbers": numbers}, 202)

    async def log(self, _request: Request) -> Response:
        """Show the deliveries."""
        return JSONResponse({"deliveries": self._world.outbox.log()})

    async def clear(self, _request: Request) -> Response:
        """Withdraw what is on its way and forget the log."""
        self._world.outbox.clear()
        return Response(status_code=204)

    def _notices(self, body: LoginWebhook | ShopWebhook) -> list[Notice]:
        open_id = open_id_of(self._world, body.open_id)
        notices = self._login(open_id, body) if isinstance(body, LoginWebhook) else self._shop(open_id, body)
        if body.raw is None:
            return notices
        return [replace(notice, body=body.raw.encode()) for notice in notices]

    def _login(self, open_id: str, body: LoginWebhook) -> list[Notice]:
        content = {"reason": body.reason} if body.content is None else body.content
        at = self._world.client_time() - int(body.age_seconds)
        return [login_notice(self._world.settings.client_key, body.event, open_id, content, at)]

    def _shop(self, open_id: str, body: ShopWebhook) -> list[Notice]:
        seller = self._world.sellers.find(open_id)
        if seller is None:
            raise RefusedError(404, "NOT_FOUND", "open_id: TikTok Shop has sellers and creators only.")
        at = self._world.shop_time(self._world.clock.now()) - int(body.age_seconds)
        return shop_notices(seller, body.type, at, _data_of(body, at))


def _data_of(body: ShopWebhook, at: int) -> Callable[[str], dict[str, Any]] | None:
    data, expires = body.data, at + int(body.expires_in_seconds)
    if data is not None:
        return lambda _about: data
    return (lambda about: expiration(about, expires, at)) if body.type == UPCOMING_EXPIRATION else None
