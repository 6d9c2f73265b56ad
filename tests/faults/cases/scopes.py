"""Faults of permissions: fewer than are needed, fewer than before, more than were asked for."""

import asyncio
from collections.abc import Sequence

from tokhub.token.v1 import token_pb2

from libs.errors import ScopeMissing
from services.token.adapters.login_kit import SCOPES_ASKED
from tests.faults.case import case, expect
from tests.faults.lab import Lab
from tests.faults.processes import Replica
from tests.faults.products import reference, start_of

REDUCED = "scope_reduced"
STATS = "user.info.stats"
FEWER = ",".join(scope for scope in SCOPES_ASKED if scope != STATS)
MORE = ",".join((*SCOPES_ASKED, "video.publish"))


async def refused_for(lab: Lab, replica: Replica, code: str, *without: str) -> str:
    """Consent without some permissions; return which are named as missing, having seen that nothing stays."""
    link = await replica.connections.StartAuthorization(start_of(code))
    account = lab.sandbox.next_account()
    came_back = await asyncio.to_thread(lab.sandbox.consent, link.authorize_url, account, without=without)
    request = token_pb2.CompleteAuthorizationRequest(state=came_back["state"], code=came_back["code"])
    try:
        await replica.connections.CompleteAuthorization(request)
    except ScopeMissing as error:
        ledger = await asyncio.to_thread(lab.sandbox.ledger, account)
        kept = [grant for grant in ledger["grants"] if grant["live_refresh_token"]]
        rows = await lab.sql("SELECT FROM connections WHERE owner_id = $1", code)
        expect(not kept and not rows, f"{len(kept)} grants and {len(rows)} rows are left of what was refused")
        return error.metadata["scopes"]
    expect(False, f"{code} was connected without {without}")
    return ""


async def told(replica: Replica, code: str) -> token_pb2.ExplainConnectionResponse:
    """Return what is said of a store to people."""
    request = token_pb2.ExplainConnectionRequest(connection=reference(code))
    return await replica.connections.ExplainConnection(request)


async def refreshed(lab: Lab, replica: Replica, code: str, scopes: str | None) -> tuple[str, Sequence[str]]:
    """Refresh a store, TikTok saying these scopes; return the reason and the scopes that people are told."""
    if scopes is not None:
        await lab.fault("field", code, set={"/scope": scopes})
    await lab.expire(code)
    outcome = await replica.ask(code)
    expect(outcome.fresh, outcome)
    await lab.saved(code, outcome.generation)
    explained = await told(replica, code)
    expect(
        ("taken back" in explained.explanation) == bool(explained.connection.reason),
        f"{explained.connection.reason}: {explained.explanation}",
    )
    return explained.connection.reason, explained.connection.scopes


@case(
    "S17",
    fault="permissions switched off on the page, or left out of the answer; added to one; taken back later",
    expected="without a required one SCOPE_MISSING that names it, the grant given back; else reductions are told",
)
async def scopes_that_change(lab: Lab) -> str:
    replica = await lab.replica()
    named = [await refused_for(lab, replica, "shop-1", STATS, "video.list")]
    await lab.fault("field", set={"/scope": FEWER})
    named.append(await refused_for(lab, replica, "shop-1"))
    await lab.fault("field", set={"/scope": ""})
    named.append(await refused_for(lab, replica, "shop-1"))
    expect(named == [STATS, STATS, f"user.info.basic,{STATS}"], named)
    await lab.fault("field", set={"/scope": MORE})
    await lab.connect(replica, "shop-2")
    began = (await told(replica, "shop-2")).connection.scopes
    expect(set(began) == set(MORE.split(",")), f"granted {began}")
    seen = [await refreshed(lab, replica, "shop-2", scopes) for scopes in (MORE, None, FEWER, "", MORE)]
    found = [(len(scopes), reason) for reason, scopes in seen]
    expect(found == [(5, ""), (4, REDUCED), (3, REDUCED), (3, REDUCED), (5, "")], found)
    return f"SCOPE_MISSING {'; '.join(named)}, nothing kept; refreshes: {found}"
