"""The keys that seal tokens, and rotating to the active one: /admin/vault. No key and no token comes this way."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response
from tokhub.token.v1 import vault_pb2

from services.gateway.backends import Backends
from services.gateway.event_stream import Events, EventStream, event
from services.gateway.parameters import accepts_events
from services.gateway.routes.answers import one
from services.gateway.shapes.vault import key_ring, rotation, rotation_summary

Steps = AsyncGenerator[vault_pb2.RotateKeysResponse, None]


class VaultRoutes:
    """Shows the key ring, and has every stored token sealed with its active key."""

    def __init__(self, *, backends: Backends, stopping: asyncio.Event) -> None:
        self._vault = backends.vault
        self._stopping = stopping

    def add_to(self, router: APIRouter) -> None:
        """Declare the routes."""
        router.add_api_route("/admin/vault", self.ring, summary="The keys that seal tokens", tags=["vault"])
        router.add_api_route(
            "/admin/vault/rotate",
            self.rotate,
            methods=["POST"],
            summary="Seal every token with the active key",
            tags=["vault"],
        )

    async def ring(self) -> JSONResponse:
        """Answer with the key ring."""
        return one(key_ring(await self._vault.GetKeyRing(vault_pb2.GetKeyRingRequest())))

    async def rotate(self, request: Request) -> Response:
        """Answer with what the rotation came to, or with its progress as events; who leaves those stops it."""
        if accepts_events(request):
            return EventStream(rotation_events(self._steps()), request=request, stopping=self._stopping)
        async with aclosing(self._steps()) as steps:
            *_, last = [step async for step in steps]
        return one(rotation_summary(last.summary))

    async def _steps(self) -> Steps:
        call = self._vault.RotateKeys(vault_pb2.RotateKeysRequest())
        try:
            async for step in call:
                yield step
        finally:
            call.cancel()


async def rotation_events(steps: Steps) -> Events:
    """Yield the steps of a rotation as events, the summary last."""
    async with aclosing(steps):
        async for step in steps:
            if step.HasField("summary"):
                yield event("summary", rotation_summary(step.summary))
            else:
                yield event("progress", rotation(step.progress))
