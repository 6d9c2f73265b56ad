"""VaultService: the keys that seal tokens, for operators."""

from collections.abc import AsyncIterator

from google.protobuf.duration_pb2 import Duration
from tokhub.token.v1 import vault_pb2, vault_pb2_grpc

from libs.rpc.identity import Context
from libs.rpc.times import timestamp
from services.token.core.journal import UnreadableRecord
from services.token.core.key_ring import KeyRingPort, KeyStanding
from services.token.core.rotation import KeyRotation, Rotation, Stage
from services.token.core.verification import Unreadable, Verification, Verified

STAGES = {
    Stage.REWRITING: vault_pb2.ROTATION_STAGE_REWRITING,
    Stage.SETTLING: vault_pb2.ROTATION_STAGE_SETTLING,
    Stage.DONE: vault_pb2.ROTATION_STAGE_DONE,
}
FIELDS = {
    "access": vault_pb2.SEALED_FIELD_ACCESS_TOKEN,
    "refresh": vault_pb2.SEALED_FIELD_REFRESH_TOKEN,
}


class VaultServicer(vault_pb2_grpc.VaultServiceServicer):
    """Translates and nothing else."""

    def __init__(self, *, keys: KeyRingPort, rotation: KeyRotation, verification: Verification) -> None:
        self._keys = keys
        self._rotation = rotation
        self._verification = verification

    async def GetKeyRing(self, request: vault_pb2.GetKeyRingRequest, context: Context) -> vault_pb2.GetKeyRingResponse:
        """Return how the ring stands."""
        standing = await self._keys.standing()
        return vault_pb2.GetKeyRingResponse(
            keys=[key_message(key) for key in standing.keys],
            live_replicas=standing.live_replicas,
            unrecognised_rows=standing.unrecognised_rows,
        )

    async def RotateKeys(
        self, request: vault_pb2.RotateKeysRequest, context: Context
    ) -> AsyncIterator[vault_pb2.RotateKeysResponse]:
        """Rotate, or follow the rotation that runs."""
        async for rotation in self._rotation.rotate():
            yield rotation_message(rotation)

    async def VerifyVault(
        self, request: vault_pb2.VerifyVaultRequest, context: Context
    ) -> AsyncIterator[vault_pb2.VerifyVaultResponse]:
        """Open every token and every record of the journal."""
        async for part in self._verification.verify():
            yield verify_message(part)


def key_message(key: KeyStanding) -> vault_pb2.Key:
    """Return a key's message."""
    return vault_pb2.Key(
        id=key.id,
        active=key.active,
        first_seen_time=timestamp(key.first_seen_at),
        activate_time=timestamp(key.activated_at) if key.activated_at else None,
        rows=key.rows,
        encryptions=key.encryptions,
        replicas=key.replicas,
        preferred=key.preferred,
    )


def rotation_message(rotation: Rotation) -> vault_pb2.RotateKeysResponse:
    """Return the progress of a rotation, or its summary when it is done."""
    counts = {"total": rotation.total, "rewritten": rotation.rewritten, "unreadable": rotation.unreadable}
    if rotation.stage is Stage.DONE:
        duration = Duration()
        duration.FromMilliseconds(round(rotation.seconds * 1000))
        summary = vault_pb2.RotationSummary(key_id=rotation.key_id, duration=duration, **counts)
        return vault_pb2.RotateKeysResponse(summary=summary)
    return vault_pb2.RotateKeysResponse(
        progress=vault_pb2.RotationProgress(
            key_id=rotation.key_id,
            stage=STAGES[rotation.stage],
            rows_per_second=round(rotation.rows_per_second, 1),
            start_time=timestamp(rotation.started_at),
            **counts,
        )
    )


def verify_message(part: Unreadable | UnreadableRecord | Verified) -> vault_pb2.VerifyVaultResponse:
    """Return a finding or the summary."""
    if isinstance(part, Verified):
        return vault_pb2.VerifyVaultResponse(
            summary=vault_pb2.VerifySummary(
                rows=part.rows,
                unreadable_rows=part.unreadable_rows,
                unreadable_tokens=part.unreadable_tokens,
                journal_records=part.journal_records,
                unreadable_journal_records=part.unreadable_journal_records,
            )
        )
    if isinstance(part, UnreadableRecord):
        record = vault_pb2.UnreadableRecord(connection_id=str(part.connection_id), number=part.number, why=part.why)
        return vault_pb2.VerifyVaultResponse(unreadable_record=record)
    return vault_pb2.VerifyVaultResponse(
        unreadable=vault_pb2.Unreadable(
            connection_id=str(part.row.connection_id),
            connection_number=part.row.number,
            owner=f"{part.row.owner.kind} {part.row.owner.id}",
            field=FIELDS[part.field],
            why=part.why,
        )
    )
