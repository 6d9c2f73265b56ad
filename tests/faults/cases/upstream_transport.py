"""What carries TikTok's answers goes wrong: they are too large, or come from whom nothing may be told."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tokhub.token.v1 import token_pb2

from libs.settings import EX_CONFIG
from tests.faults.case import case, expect
from tests.faults.cases.starting import refused_start
from tests.faults.cases.upstream_silence import GRACE, LOST, exchange_fails
from tests.faults.front import Authority, Flaw, Front, front
from tests.faults.history import Outcome
from tests.faults.lab import Lab
from tests.faults.processes import Replica, ServiceProcess
from tests.faults.products import reference
from tests.faults.upstream import BOTH, ask_all, called_at, connect, expect_statuses, forget_pauses, tally

MEBIBYTE = 1 << 20
LARGE: dict[str, dict[str, Any]] = {
    "huge": {"bytes": 64 * MEBIBYTE},
    "gzip_bomb": {"bytes": 64 * MEBIBYTE},
    "many_headers": {"headers": 100_000},
}
ROOM = 120  # MiB more for all answers of a case at once: of each 8 MiB are read, and held twice for a moment
REDIRECTS = (301, 302, 303, 307, 308)


def peak(replica: ServiceProcess) -> int:
    """Return the most memory that a process has had, in MiB."""
    lines = Path(f"/proc/{replica.process.pid}/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) // 1024


async def large(lab: Lab) -> tuple[Replica, list[str], list[Outcome], int]:
    """Let the next answer of each store be too large, after the work; return what came of it and the memory it took."""
    replica = await lab.replica()
    codes = [f"{product}-{kind}" for product in ("shop", "seller") for kind in LARGE]
    await connect(lab, replica, *codes)
    await lab.expire()
    for code in codes:
        kind = code.partition("-")[2]
        when = {} if kind == "many_headers" else {"when": "after"}
        await lab.fault(kind, code, **LARGE[kind], **when)
    lab.allowed.repeats = len(codes)
    before = peak(replica)
    outcomes = await ask_all(replica, codes)
    grown = peak(replica) - before
    expect(grown < ROOM, f"{grown} MiB more")
    return replica, codes, outcomes, grown


@case(
    "U18 strict",
    fault="after the rotation an answer of 64 MiB, a bomb of 64 MiB, 10^5 headers; the old token is dead",
    expected="cut off at 8 MiB; one retry each, then REAUTH_REQUIRED, named lost_response; bounded memory",
)
async def too_large_strict(lab: Lab) -> str:
    _, codes, outcomes, grown = await large(lab)
    lab.allowed.lost = set(codes)
    expect({str(one) for one in outcomes} == {LOST}, tally(outcomes))
    calls = [len(await called_at(lab, code)) - 1 for code in codes]
    expect(set(calls) == {2}, f"{calls} refreshes")
    return f"{tally(outcomes)}, one retry each, {grown} MiB more at the peak"


@case(
    "U18 grace",
    fault="the same, and the old token works a little longer",
    expected="cut off at 8 MiB; the one retry brings the new tokens; bounded memory",
)
async def too_large_grace(lab: Lab) -> str:
    await lab.switch(**GRACE)
    _, _, outcomes, grown = await large(lab)
    expect({str(one) for one in outcomes} == {"FRESH 2"}, tally(outcomes))
    return f"{tally(outcomes)}, {grown} MiB more at the peak"


async def towards(lab: Lab, name: str, url: str, authority: Authority) -> Replica:
    """Start a token service that looks for TikTok at another address and trusts an authority."""
    urls = dict.fromkeys(("TIKTOK_API_BASE_URL", "TIKTOK_SHOP_TOKEN_BASE_URL", "TIKTOK_SHOP_API_BASE_URL"), url)
    return await lab.replica(name, SSL_CERT_FILE=str(authority.bundle), **urls)


def authority_of(lab: Lab) -> Authority:
    """Return an authority of this case."""
    directory = lab.directory / "secrets"
    directory.mkdir()
    return Authority(directory)


@asynccontextmanager
async def fronted(lab: Lab, authority: Authority, flaw: Flaw) -> AsyncIterator[tuple[Replica, Front]]:
    """Yield a token service that looks for TikTok behind a certificate, and what hears it there."""
    port = urlsplit(lab.sandbox.url).port
    async with front(str(port), authority.context(flaw)) as tiktok:
        yield await towards(lab, flaw.name.lower(), tiktok.url, authority), tiktok


@case(
    "U19 certificates",
    fault="TikTok's certificate is expired, not valid yet, of another host, self-signed; then a right one",
    expected="nothing is said to such a server, no status changes; the same service refreshes behind the right one",
)
async def wrong_certificates(lab: Lab) -> str:
    good = await lab.replica("good")
    await connect(lab, good, *BOTH)
    authority = authority_of(lab)
    said = [await told_nothing(lab, authority, flaw) for flaw in Flaw if flaw is not Flaw.NONE]
    await forget_pauses(lab)
    async with fronted(lab, authority, Flaw.NONE) as (replica, tiktok):
        outcomes = await ask_all(replica, BOTH)
        expect({str(one) for one in outcomes} == {"FRESH 2"}, tally(outcomes))
        expect(b"refresh_token" in tiktok.heard, "the refresh did not go this way")
    return f"{'; '.join(said)}; right certificate: {tally(outcomes)}"


async def told_nothing(lab: Lab, authority: Authority, flaw: Flaw) -> str:
    """Expect that a server with a flawed certificate is told nothing."""
    async with fronted(lab, authority, flaw) as (replica, tiktok):
        await lab.leave("40 s")
        await forget_pauses(lab)
        stale = await ask_all(replica, BOTH)
        expect(all(one.served and not one.fresh for one in stale), tally(stale))
        await lab.expire()
        await forget_pauses(lab)
        gone = await ask_all(replica, BOTH)
        expect({one.reason for one in gone} == {"UPSTREAM_UNAVAILABLE"}, tally(gone))
        exchange = await exchange_fails(lab, replica)
        expect(exchange == "UPSTREAM_UNAVAILABLE", f"code exchange: {exchange}")
        expect(tiktok.visits > 0 and not tiktok.heard, f"{tiktok.visits} visits, {len(tiktok.heard)} bytes heard")
        await expect_statuses(lab, "ACTIVE", BOTH)
        await replica.stop()
    return f"{flaw}: {tiktok.visits} handshakes, 0 bytes"


@case(
    "U19 redirects",
    fault="301 to 308 to another host, to plain http from https too: refresh, exchange, shops, revocation; http set up",
    expected="no redirect is followed, nothing arrives elsewhere; http to another host stops the start",
)
async def led_elsewhere(lab: Lab) -> str:
    authority = authority_of(lab)
    async with fronted(lab, authority, Flaw.NONE) as (replica, tiktok), front() as elsewhere:
        codes = [f"{product}-{status}" for product in ("shop", "seller") for status in REDIRECTS]
        await connect(lab, replica, *codes, "shop-gone")
        await lab.expire(*codes)
        for code in codes:
            await lab.fault("redirect", code, to=f"{elsewhere.url}/v2/oauth/token/", status=int(code.split("-")[1]))
        outcomes = await ask_all(replica, codes)
        expect({one.reason for one in outcomes} == {"UPSTREAM_UNAVAILABLE"}, tally(outcomes))
        await expect_statuses(lab, "ACTIVE", codes)
        await other_calls_led(lab, replica, elsewhere.url)
        expect((elsewhere.visits, bytes(elsewhere.heard)) == (0, b""), f"{elsewhere.visits} calls elsewhere")
        expect(tiktok.url.startswith("https:"), tiktok.url)
        await forget_pauses(lab)
        await replica.stop()
        await replica.start()  # with a circuit that is closed
        fresh = await ask_all(replica, codes)
        expect({str(one) for one in fresh} == {"FRESH 2"}, tally(fresh))
    status, said = await refused_start(lab.prepared("plain", TIKTOK_API_BASE_URL="http://tiktok.invalid"))
    expect(status == EX_CONFIG and "TIKTOK_API_BASE_URL" in said[0], f"status {status}, said {said}")
    return f"{tally(outcomes)}, nothing elsewhere; then {tally(fresh)}; plain http: exit 78"


async def other_calls_led(lab: Lab, replica: Replica, elsewhere: str) -> None:
    """Lead a code exchange, the shops of a new grant and a revocation elsewhere."""
    await lab.fault("redirect", to=f"{elsewhere}/v2/oauth/token/")
    expect(await exchange_fails(lab, replica) == "UPSTREAM_UNAVAILABLE", "the code exchange went well")
    await lab.fault("redirect", "*", endpoint="shops", to=f"{elsewhere}/authorization/202309/shops", status=307)
    await lab.connect_seller(replica, "seller-new")
    await lab.fault("redirect", "shop-gone", endpoint="revoke", to=f"{elsewhere}/v2/oauth/revoke/", status=308)
    lab.allowed.ended.add("shop-gone")
    gone = await replica.connections.Disconnect(token_pb2.DisconnectRequest(connection=reference("shop-gone")))
    expect(gone.revocation == token_pb2.REVOCATION_PENDING, gone.revocation)
