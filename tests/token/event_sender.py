"""Webhooks as TikTok makes them, by hand: any body, any time, any secret."""

import hmac
import json
import time
from typing import Any

from tokhub.token.v1 import token_pb2, token_pb2_grpc

from tests.fixtures_sandbox import SandboxProcess

LOGIN_KIT, SHOP = token_pb2.PROVIDER_LOGIN_KIT, token_pb2.PROVIDER_TIKTOK_SHOP
APPLIED, REPEATED, IGNORED = (
    token_pb2.EVENT_OUTCOME_APPLIED,
    token_pb2.EVENT_OUTCOME_REPEATED,
    token_pb2.EVENT_OUTCOME_IGNORED,
)


def compact(body: object) -> bytes:
    return json.dumps(body, separators=(",", ":")).encode()


def removed(open_id: str, *, age: int = 0, content: str = '{"reason": 1}', **changes: Any) -> bytes:
    """Return the body that says that an account's owner removed the app."""
    body = {
        "client_key": SandboxProcess.client_key,
        "event": "authorization.removed",
        "create_time": int(time.time()) - age,
        "user_openid": open_id,
        "content": content,
    }
    return compact(body | changes)


def shop_event(kind: int, *, number: str, age: int = 0, **changes: Any) -> bytes:
    """Return a body of TikTok Shop."""
    body = {"type": kind, "tts_notification_id": number, "timestamp": int(time.time()) - age}
    return compact(body | changes)


def login_header(body: bytes, *, age: float = 0, secret: str = SandboxProcess.client_secret) -> str:
    at = int(time.time() - age)
    digest = hmac.digest(secret.encode(), f"{at}.".encode() + body, "sha256").hex()
    return f"t={at},s={digest}"


def shop_header(body: bytes, *, secret: str = SandboxProcess.shop_app_secret) -> str:
    return hmac.digest(secret.encode(), SandboxProcess.shop_app_key.encode() + body, "sha256").hex()


async def send(
    connections: token_pb2_grpc.ConnectionServiceStub,
    body: bytes,
    signature: str | None = None,
    provider: token_pb2.Provider.ValueType = LOGIN_KIT,
) -> token_pb2.EventOutcome.ValueType:
    """Hand a webhook in as the gateway does; rightly signed unless told otherwise."""
    if signature is None:
        signature = login_header(body) if provider == LOGIN_KIT else shop_header(body)
    request = token_pb2.HandleProviderEventRequest(provider=provider, body=body, signature=signature)
    return (await connections.HandleProviderEvent(request)).outcome
