"""Puts the audit trail of a service together: what writes it, what tells of it, and what is done again and again."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from libs.audit.settings import RecordingSettings
from libs.audit.verification import Verification
from libs.audit.witness import CheckpointFile, Witness
from libs.database.call_log import CallLog
from libs.database.chained_calls import ChainedCalls
from libs.database.pool import Pool
from libs.rpc.audit import AuditTrail, audit_service
from libs.rpc.server import RpcService


@dataclass(frozen=True, kw_only=True)
class Recording:
    """A trail as a service needs it."""

    calls: CallLog
    service: RpcService
    chores: Sequence[Callable[[], Awaitable[None]]]


def record_calls(settings: RecordingSettings, pool: Pool, schema: str) -> Recording:
    """Return the trail in the schema of the pool's sessions."""
    keys, rows = settings.chain_keys(schema), ChainedCalls(pool)
    calls, kept = CallLog(pool, keys), CheckpointFile(settings.audit_dir / f"{schema}.checkpoint")
    trail = AuditTrail(calls=calls, verification=Verification(rows=rows, keys=keys), kept=kept)
    return Recording(calls=calls, service=audit_service(trail), chores=(Witness(rows=rows, file=kept).look,))
