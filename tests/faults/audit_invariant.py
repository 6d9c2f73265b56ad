"""I6: the audit trail is whole, and every call that has to be in it is there once."""

from collections import Counter
from collections.abc import Sequence

import asyncpg

from libs.audit.chain import ChainKeys
from libs.audit.verification import Verification, Verified
from libs.database.chained_calls import ChainedCalls
from libs.database.pool import Pool, open_pool
from libs.rpc.policy import by_path
from libs.secret import Secret
from libs.vault.ring import read_keys
from services.sync import policy as sync_policy
from services.token import policy as token_policy
from tests.faults.lab import Lab
from tests.faults.processes import ServiceProcess
from tests.token.token_process import AUDIT_KEYS

ROWS = "SELECT call, outcome, method, request_id FROM audit_calls"
FIRST = ("BEGUN", "DENIED", "PRUNED")
RECORDED = frozenset(by_path(token_policy.RECORDED)) | frozenset(by_path(sync_policy.RECORDED))


async def the_trail_is_whole(lab: Lab) -> Sequence[str]:
    """I6: both chains verify, and each call of an operator that was carried out has one beginning and one end."""
    wrong = []
    for schema, processes in (("credentials", lab.replicas), ("reporting", lab.syncs)):
        if any("TLS_CERT" in process.environ for process in processes):
            async with open_pool(lab.dsn, application="invariants", schema=schema) as pool:
                wrong += [f"{schema}: {found}" for found in await wrong_in_chain(pool, schema)]
                wrong += [f"{schema}: {found}" for found in wrong_in_calls(await pool.fetch(ROWS), processes)]
    return wrong


async def wrong_in_chain(pool: Pool, schema: str) -> list[str]:
    """Return where a chain is broken."""
    keys = ChainKeys(read_keys(Secret(AUDIT_KEYS)), schema)
    *_, found = [step async for step in Verification(rows=ChainedCalls(pool, keys), keys=keys).verify()]
    assert isinstance(found, Verified)
    wrong = [f"{found.broken.kind} at {found.broken.sequence}"] if found.broken else []
    return wrong + ([f"{found.unchained} rows are outside the chain"] if found.unchained else [])


def wrong_in_calls(rows: Sequence[asyncpg.Record], processes: Sequence[ServiceProcess]) -> list[str]:
    """Return which calls of operators the logs tell of and the trail does not, or not once."""
    firsts = Counter((row["method"], row["request_id"]) for row in rows if row["outcome"] in FIRST)
    ends = {(row["method"], row["request_id"]): row["outcome"] for row in rows if row["outcome"] not in FIRST}
    calls = Counter(row["call"] for row in rows)
    wrong = [f"call {call} has {count} rows" for call, count in calls.items() if count > 2]
    for event in (event for process in processes for event in process.events()):
        if event["msg"] == "rpc" and event["status"] == "OK" and is_recorded(event):
            name = (event["method"], event["request_id"])
            if firsts[name] != 1 or ends.get(name) != "OK":
                wrong.append(f"{name} is there {firsts[name]} times and ended as {ends.get(name)}")
    return wrong


def is_recorded(event: dict[str, str]) -> bool:
    """Return whether a call has to be in the trail."""
    return event["method"] in RECORDED and event["actor"].startswith("operator/")
