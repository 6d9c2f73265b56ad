"""Limits and lockouts as rows that all replicas share, on the database's clock."""

from collections.abc import Sequence

import structlog

from services.gateway.database import Database
from services.gateway.limits import LockoutRule
from services.gateway.shared_limits import Failure, SharedRule, Verdict

SPEND = "SELECT granted, remaining, more_in FROM spend($1, $2, $3, $4, $5)"
SPEND_UNLESS_BLOCKED = "SELECT granted, remaining, more_in, blocked_for FROM spend_unless_blocked($1, $2, $3, $4, $5)"
COUNT_FAILURE = "SELECT blocked_for, blocks FROM count_failure_and_tell($1, $2, $3)"
# What is locked is in use, and waiting for it could end in a deadlock.
PRUNE_SPENT = """
DELETE FROM spent WHERE ctid = ANY(ARRAY(
    SELECT ctid FROM spent WHERE clears_at <= clock_timestamp() LIMIT 10000 FOR UPDATE SKIP LOCKED))
"""
PRUNE_LOCKOUTS = """
DELETE FROM lockouts WHERE ctid = ANY(ARRAY(
    SELECT ctid FROM lockouts
    WHERE greatest(blocked_until, failures[cardinality(failures)]) <= clock_timestamp() - make_interval(secs => $1)
    LIMIT 10000 FOR UPDATE SKIP LOCKED))
"""
UNLOCK = """
WITH unlocked AS (
    DELETE FROM lockouts WHERE address = ANY($1) AND blocked_until > clock_timestamp() RETURNING address)
SELECT array_agg(address) AS addresses FROM unlocked
"""

log = structlog.get_logger()


class LimitRows:
    """The rows; StorageUnavailable while they cannot be had."""

    def __init__(self, database: Database) -> None:
        self._row = database.row

    async def spend(self, rule: SharedRule, address: str, wanted: int) -> Verdict:
        """Take what is free of what is wanted."""
        return Verdict(**await self._row(SPEND, rule.name, address, wanted, rule.most, rule.seconds))

    async def spend_unless_blocked(self, rule: SharedRule, address: str, wanted: int) -> Verdict:
        """Take what is free of what is wanted, nothing while the address is blocked."""
        return Verdict(**await self._row(SPEND_UNLESS_BLOCKED, rule.name, address, wanted, rule.most, rule.seconds))

    async def count_failure(self, address: str, rule: LockoutRule) -> Failure:
        """Count one failure unless the address is blocked already."""
        return Failure(**await self._row(COUNT_FAILURE, address, rule.max_failures, rule.block_seconds))

    async def prune(self, rule: LockoutRule) -> None:
        """Delete what no longer counts."""
        await self._row(PRUNE_SPENT)
        await self._row(PRUNE_LOCKOUTS, rule.block_seconds)

    async def unlock(self, addresses: Sequence[str]) -> None:
        """Let these addresses in again."""
        for address in (await self._row(UNLOCK, addresses))["addresses"] or ():
            log.warning("let in before the end of its lockout", address=address)
