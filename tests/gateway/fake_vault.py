"""VaultService behind the gateway, from memory: a ring of two keys, and rotations that a test plays."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp
from tokhub.token.v1 import vault_pb2, vault_pb2_grpc

from tests.gateway.scripted import NEW_YEAR, Scripted

SEEN = Timestamp(seconds=int(NEW_YEAR.timestamp()))


class FakeVault(vault_pb2_grpc.VaultServiceServicer):
    def __init__(self) -> None:
        self.script = Scripted()
        self.ring = vault_pb2.GetKeyRingResponse(
            keys=[
                vault_pb2.Key(id="default", first_seen_time=SEEN, activate_time=SEEN, rows=2, replicas=["r1"]),
                vault_pb2.Key(id="k2", first_seen_time=SEEN, active=True, preferred=True, encryptions=5),
            ],
            live_replicas=["r1"],
        )
        self.steps: list[vault_pb2.RotateKeysResponse] = []
        self.begun, self.left, self.may_end = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self.may_end.set()

    def rotates(self, *rewritten: int, total: int = 2) -> None:
        """Let the next rotation tell these numbers of rows, and then its summary."""
        stage = vault_pb2.ROTATION_STAGE_REWRITING
        self.steps = [
            vault_pb2.RotateKeysResponse(
                progress=vault_pb2.RotationProgress(key_id="k2", stage=stage, total=total, rewritten=count)
            )
            for count in rewritten
        ]

    async def GetKeyRing(self, _request: vault_pb2.GetKeyRingRequest, _context: Any) -> vault_pb2.GetKeyRingResponse:
        self.script.begin()
        return self.ring

    async def RotateKeys(
        self, _request: vault_pb2.RotateKeysRequest, _context: Any
    ) -> AsyncIterator[vault_pb2.RotateKeysResponse]:
        self.script.begin()
        self.begun.set()
        try:
            for step in self.steps:
                yield step
            if not self.steps:
                await asyncio.Event().wait()
            await self.may_end.wait()
            last = self.steps[-1].progress
            summary = vault_pb2.RotationSummary(key_id="k2", total=last.total, rewritten=last.rewritten)
            yield vault_pb2.RotateKeysResponse(summary=summary)
        finally:
            self.left.set()

    async def VerifyVault(
        self, _request: vault_pb2.VerifyVaultRequest, _context: Any
    ) -> AsyncIterator[vault_pb2.VerifyVaultResponse]:
        raise AssertionError("the gateway opens no token")
        yield vault_pb2.VerifyVaultResponse()
