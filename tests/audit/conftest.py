"""A trail in a database of its own, as the migrations of each service make it."""

from collections.abc import AsyncIterator
from uuid import uuid4

import pytest

from libs.audit.chain import ChainKeys, Checkpoint
from libs.audit.verification import Break, Verification, Verified
from libs.database.call_log import CallLog
from libs.database.chained_calls import ChainedCalls
from libs.database.migrations import migrate
from libs.database.pool import Pool, open_pool
from libs.rpc.recording import BEGUN, Record
from services.sync import __main__ as sync
from services.token import __main__ as token
from tests.fixtures_postgres import TemplateDatabase

OLD, NEW = bytes(range(32)), bytes(range(32, 64))


def keys(**named: bytes) -> ChainKeys:
    return ChainKeys(named or {"a1": OLD}, "credentials")


class Trail:
    """What writes a trail, what breaks it, and what finds out."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self.rows = ChainedCalls(pool, keys())
        self.calls = CallLog(pool, keys())

    async def record(self, times: int, calls: CallLog | None = None) -> None:
        for _ in range(times):
            await (calls or self.calls).append(record())

    async def break_by(self, *statements: str) -> None:
        """Do what somebody with all rights does who knows of the guards."""
        guards = "ALTER TABLE audit_calls {} TRIGGER USER"
        await self.pool.execute(";".join((guards.format("DISABLE"), *statements, guards.format("ENABLE"))))

    async def verified(self, *checkpoints: Checkpoint, by: ChainKeys | None = None) -> Verified:
        steps = Verification(rows=self.rows, keys=by or keys()).verify(checkpoints)
        *_, found = [step async for step in steps]
        assert isinstance(found, Verified)
        return found

    async def broken(self, *checkpoints: Checkpoint) -> Break | None:
        return (await self.verified(*checkpoints)).broken

    async def tail(self) -> Checkpoint:
        found = await self.rows.tail()
        assert found
        return found


def record(outcome: str = BEGUN) -> Record:
    request = {"storeCode": "shop-1", "share": 1e20, "text": "é\u2028"}
    return Record(
        call=uuid4(), actor="operator/alice", method="/a.B/C", request=request, request_id="r", outcome=outcome
    )


async def migrate_both(dsn: str) -> None:
    for service in (token, sync):
        await migrate(dsn, service.MIGRATIONS, service.SCHEMA)


@pytest.fixture(params=[token.SCHEMA, sync.SCHEMA])
async def trail(template_database: TemplateDatabase, request: pytest.FixtureRequest) -> AsyncIterator[Trail]:
    dsn = await template_database("audit", migrate_both)
    async with open_pool(dsn, application="test", schema=request.param) as pool:
        yield Trail(pool)
