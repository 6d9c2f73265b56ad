"""Puts the audit trail of a service together: what writes it, what tells of it, and what is done again and again."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from prometheus_client import CollectorRegistry

from libs.audit.metrics import TrailMetrics
from libs.audit.retention import Retention
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


def record_calls(settings: RecordingSettings, pool: Pool, schema: str, registry: CollectorRegistry) -> Recording:
    """Return the trail in the schema of the pool's sessions."""
    keys = settings.chain_keys(schema)
    rows = ChainedCalls(pool, keys)
    calls, kept = CallLog(pool, keys), CheckpointFile(settings.audit_dir / f"{schema}.checkpoint")
    trail = AuditTrail(calls=calls, verification=Verification(rows=rows, keys=keys), kept=kept)
    witness, retention = Witness(rows=rows, file=kept), Retention(rows=rows, trail=calls, days=settings.audit_days)
    registry.register(TrailMetrics(witness))
    # Without keys nothing is recorded.
    chores = (witness.look, retention.sweep) if settings.audit_keys else ()
    return Recording(calls=calls, service=audit_service(trail), chores=chores)
