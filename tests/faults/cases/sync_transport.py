"""What carries TikTok's answers to sync calls goes wrong: too large, too slow, or from whom nothing may be told."""

import resource
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tokhub.sync.v1 import sync_pb2

from libs.settings import EX_CONFIG
from tests.faults.case import case, expect
from tests.faults.cases.upstream_transport import MEBIBYTE, REDIRECTS, authority_of, peak
from tests.faults.front import Authority, Flaw, Front, front
from tests.faults.lab import Lab
from tests.faults.processes import ServiceProcess
from tests.faults.runs import calls_to, connect_stores, end_of, endings, sync_calls, tallied, told, until_true
from tests.faults.sync_processes import SyncReplica

GIBIBYTE = 1 << 30
LARGE: dict[str, dict[str, Any]] = {
    "huge": {"bytes": 2 * GIBIBYTE},
    "gzip_bomb": {"bytes": 256 * MEBIBYTE},
}
ROOM = 300  # MiB of memory above what the process has when it serves
GROWTH = 150  # MiB more at the peak; of each answer 8 MiB are read, and held twice for a moment
DEADLINE = 30.0  # seconds for one call
TOO_LARGE = "FAILED UPSTREAM_RESPONSE_TOO_LARGE"
TRIED = "SELECT attempt >= 1 AND state = 'queued' FROM reporting.sync_items WHERE run_id = $1::uuid"


def limit_memory(process: ServiceProcess, mebibytes: int) -> None:
    """Let a running process have so much more memory of its own, and no more."""
    lines = Path(f"/proc/{process.process.pid}/status").read_text(encoding="ascii").splitlines()
    size = next(int(line.split()[1]) for line in lines if line.startswith("VmData:")) * 1024
    limit = size + mebibytes * MEBIBYTE
    resource.prlimit(process.process.pid, resource.RLIMIT_DATA, (limit, limit))


@case(
    "P12",
    fault=f"answers of 2 GiB and bombs of 256 MiB for 6 of 30 stores, in a process that may take {ROOM} MiB more",
    expected="those stores fail UPSTREAM_RESPONSE_TOO_LARGE at once, all others succeed, the process lives",
)
async def memory_limit(lab: Lab) -> str:
    await lab.replica()
    sync = await lab.sync()
    codes = [f"shop-{number:02}" for number in range(30)]
    bad = codes[:6]
    await connect_stores(lab, sync, *codes)
    for number, code in enumerate(bad):
        kind = ("huge", "gzip_bomb")[number % 2]
        await lab.fault(kind, code, endpoint="video", count=None, **LARGE[kind])
    limit_memory(sync, ROOM)
    before = peak(sync)
    run_id = await sync.begin(sync_pb2.JOB_VIDEO)
    run = await end_of(lab, run_id)
    ended, grown = await endings(lab, run_id), peak(sync) - before
    calls = [(await sync_calls(lab, code))["video_list"] for code in bad]
    seen = f"{tallied(list(ended.values()))}, {grown} MiB more at the peak; {told(run)}"
    expect({ended[code] for code in bad} == {TOO_LARGE} and run["succeeded"] == 24, seen)
    expect(set(calls) == {1} and sync.alive and grown < ROOM, f"{calls} calls, {seen}")
    return seen


@case(
    "U17 sync",
    fault="a page that comes a byte a second, to one of five stores",
    expected=f"given up after {DEADLINE:.0f} s in all, asked for again; the other stores do not wait",
)
async def dripping_page(lab: Lab) -> str:
    await lab.replica()
    sync = await lab.sync()
    codes = [f"shop-{number}" for number in range(5)]
    await connect_stores(lab, sync, *codes)
    await lab.fault("drip", "shop-0", endpoint="user", part="body", bytes=1, seconds=1)
    run_id = await sync.begin(sync_pb2.JOB_USER)
    run = await end_of(lab, run_id)
    rows = await lab.sql(
        "SELECT subject_id, extract(epoch FROM ended_at - first_started_at)::float8 AS took "
        "FROM reporting.sync_items WHERE run_id = $1::uuid",
        run_id,
    )
    took = {row["subject_id"]: row["took"] for row in rows}
    slow, others = took.pop("shop-0"), max(took.values())
    calls = (await sync_calls(lab, "shop-0"))["user_info"]
    seen = f"{slow:.0f} s and {calls} calls for that store, {others:.1f} s for the others; {told(run)}"
    expect(run["succeeded"] == 5 and calls == 2 and others < DEADLINE / 2, seen)
    expect(DEADLINE - 1 < slow < DEADLINE + 20, seen)
    return seen


@case(
    "U18 sync",
    fault="answers of 64 MiB, bombs of 64 MiB and 10^5 headers to six stores at once",
    expected="cut off at 8 MiB: those stores fail, with bounded memory; the others succeed",
)
async def too_large(lab: Lab) -> str:
    await lab.replica()
    sync = await lab.sync()
    kinds: dict[str, dict[str, Any]] = {
        "huge": {"bytes": 64 * MEBIBYTE},
        "gzip_bomb": {"bytes": 64 * MEBIBYTE},
        "many_headers": {"headers": 100_000},
    }
    codes = [f"{kind}-{number}" for kind in kinds for number in range(2)]
    await connect_stores(lab, sync, *codes, "fine-1", "fine-2")
    for code in codes:
        kind = code.rpartition("-")[0]
        # Headers break the connection off: that may pass, so it comes once.
        await lab.fault(kind, code, endpoint="user", count=1 if kind == "many_headers" else None, **kinds[kind])
    before = peak(sync)
    run_id = await sync.begin(sync_pb2.JOB_USER)
    run = await end_of(lab, run_id)
    ended, grown = await endings(lab, run_id), peak(sync) - before
    seen = f"{tallied(list(ended.values()))}, {grown} MiB more at the peak; {told(run)}"
    expect(all((ended[code] == TOO_LARGE) is not code.startswith("many") for code in codes), seen)
    expect(run["succeeded"] == 4 and grown < GROWTH, seen)
    return seen


@asynccontextmanager
async def fronted(lab: Lab, authority: Authority, flaw: Flaw) -> AsyncIterator[tuple[SyncReplica, Front]]:
    """Yield a sync service that looks for TikTok behind a certificate, and what hears it there."""
    async with front(str(urlsplit(lab.sandbox.url).port), authority.context(flaw)) as tiktok:
        name = flaw.name.lower()
        sync = await lab.sync(name, TIKTOK_API_BASE_URL=tiktok.url, SSL_CERT_FILE=str(authority.bundle))
        yield sync, tiktok
        if sync.alive:
            await sync.stop()


@case(
    "U19 sync certificates",
    fault="TikTok's certificate is expired, not valid yet, of another host, self-signed; then a right one",
    expected="no byte and no token is said to such a server, stores wait; behind the right one the same run succeeds",
)
async def wrong_certificates(lab: Lab) -> str:
    await lab.replica()
    authority = authority_of(lab)
    plain = await lab.sync("plain")
    await connect_stores(lab, plain, "shop-1")
    await plain.stop()
    said = []
    for flaw in (one for one in Flaw if one is not Flaw.NONE):
        async with fronted(lab, authority, flaw) as (sync, tiktok):
            run_id = await sync.begin(sync_pb2.JOB_USER)
            await until_true(lab, "a failed attempt", TRIED, run_id)
            expect(tiktok.visits > 0 and not tiktok.heard, f"{tiktok.visits} visits, {len(tiktok.heard)} bytes heard")
            said.append(f"{flaw}: {tiktok.visits} handshakes, 0 bytes")
            if flaw is not Flaw.SELF_SIGNED:
                await sync.client.runs.CancelRun(sync_pb2.CancelRunRequest(run_id=run_id))
    async with fronted(lab, authority, Flaw.NONE) as (sync, tiktok):
        run = await end_of(lab, run_id)
        expect(run["succeeded"] == 1 and b"Bearer" in tiktok.heard, f"{told(run)}, {len(tiktok.heard)} bytes heard")
    return f"{'; '.join(said)}; right certificate: {told(run)}"


@case(
    "U19 sync redirects",
    fault="301 to 308 of accounts and pages to another host, from https to plain http too; plain http set up",
    expected="no redirect is followed, nothing arrives elsewhere; plain http to another host stops the start",
)
async def led_elsewhere(lab: Lab) -> str:
    await lab.replica()
    authority = authority_of(lab)
    async with fronted(lab, authority, Flaw.NONE) as (sync, tiktok), front() as elsewhere:
        codes = [f"shop-{status}" for status in REDIRECTS]
        await connect_stores(lab, sync, *codes)
        for endpoint in ("user", "video"):
            for code, status in zip(codes, REDIRECTS, strict=True):
                await lab.fault("redirect", code, endpoint=endpoint, to=f"{elsewhere.url}/v2/", status=status)
        run = await end_of(lab, await sync.begin(sync_pb2.JOB_ALL))
        refused = sum(call.outcome != "ok" for call in await calls_to(lab, "user_info"))
        seen = f"{refused} accounts led elsewhere, {elsewhere.visits} calls arrived there; {told(run)}"
        expect((elsewhere.visits, bytes(elsewhere.heard)) == (0, b"") and run["succeeded"] == len(codes), seen)
        expect(tiktok.url.startswith("https:"), tiktok.url)
    plain = lab.prepared_sync("http", TIKTOK_API_BASE_URL="http://tiktok.invalid")
    await plain.launch()
    status = await plain.ended()
    expect(status == EX_CONFIG and "TIKTOK_API_BASE_URL" in plain.log.read_text(), f"status {status}")
    return f"{seen}; plain http: exit {status}"
