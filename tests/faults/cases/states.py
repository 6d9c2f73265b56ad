"""Faults of connect links: used for somebody else, twice, altered, after their owner is gone."""

import asyncio
import base64
import hashlib
import hmac
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from tokhub.token.v1 import token_pb2

from libs.errors import ConnectionNotFound
from tests.faults.case import case, expect
from tests.faults.lab import Lab
from tests.faults.processes import Replica
from tests.faults.products import reference, start_of
from tests.faults.waiting import until

OTHER_SECRET = "t" * 64
# What somebody who has a link would like it to say instead.
EDITS: Mapping[str, Any] = {
    "v": 2,
    "id": "0" * 32,
    "for": "replace",
    "provider": "tiktok_shop",
    "kind": "user",
    "owner": "shop-2",
    "team": 2,
    "nonce": "",
    "iat": 4102444000,
    "exp": 4102444800,
    "to": "https://elsewhere.example/callback",
}
EDITOR = "x"


def payload_of(state: str) -> dict[str, Any]:
    """Return what a state says."""
    body = state.partition(".")[0]
    said: dict[str, Any] = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    return said


def unpadded(data: bytes) -> str:
    """Return bytes as a state spells them."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def saying(body: Mapping[str, Any]) -> str:
    """Return the unsigned half of a state."""
    return unpadded(json.dumps(body, separators=(",", ":")).encode())


async def invited(
    lab: Lab, replica: Replica, code: str, *, bound: bool = False
) -> tuple[dict[str, str], token_pb2.StartAuthorizationResponse]:
    """Let the owner of a store consent on a new link; return what TikTok appended to the redirect, and the link."""
    request = start_of(code)
    if bound:
        request.binding = token_pb2.LINK_BINDING_BROWSER
    link = await replica.connections.StartAuthorization(request)
    lab.made.update({link.state, link.browser_nonce} - {""})
    lab.accounts[code] = lab.sandbox.next_account()
    return await asyncio.to_thread(lab.sandbox.consent, link.authorize_url, lab.accounts[code]), link


async def all_refused(replica: Replica, came_back: Mapping[str, str], states: Iterable[str], nonce: str = "") -> int:
    """Raise Missed unless each of these states is refused as none of ours; return how many there were."""
    count = 0
    for state in states:
        outcome = await replica.complete({**came_back, "state": state}, nonce)
        expect(str(outcome) == "STATE_INVALID", f"{outcome} for state number {count} of length {len(state)}")
        count += 1
    return count


@case(
    "C09",
    fault="the state of one store with any of its fields edited, with another's signature, browser or redirect",
    expected="STATE_INVALID each time, no call to TikTok; the link itself still works",
)
async def state_of_another(lab: Lab) -> str:
    replica = await lab.replica()
    came_back, link = await invited(lab, replica, "shop-1", bound=True)
    other = (await replica.connections.StartAuthorization(start_of("shop-2"))).state
    said, signature = payload_of(came_back["state"]), came_back["state"].partition(".")[2]
    expect(set(said) == set(EDITS), f"the fields of a state are {sorted(said)}")
    edits = [f"{saying({**said, name: value})}.{signature}" for name, value in EDITS.items()]
    edits += [f"{saying({**said, EDITOR: 1})}.{signature}", f"{saying(said)}.{other.partition('.')[2]}"]
    count = await all_refused(replica, came_back, edits, link.browser_nonce)
    nonces = ["", "another", link.browser_nonce[:-1]]
    browsers = [str(await replica.complete(came_back, nonce)) for nonce in nonces]
    moved = await lab.replica("moved", TIKTOK_REDIRECT_URI="http://localhost:3000/auth/tiktok/callback")
    browsers.append(str(await moved.complete(came_back, link.browser_nonce)))
    expect(set(browsers) == {"STATE_INVALID"}, browsers)
    expect(await lab.calls() == 0, f"TikTok was asked {await lab.calls()} times")
    made = await replica.complete(came_back, link.browser_nonce)
    expect(str(made) == "CONNECTED 1", made)
    return f"{count} edits, {len(nonces)} other browsers, another redirect: STATE_INVALID, 0 calls; then {made}"


@case(
    "C09 gone",
    fault="a connect link is used after its store was disconnected or deleted: before the consent, or during it",
    expected="STATE_INVALID, nothing connected, the grant given back; a new link works",
)
async def link_of_one_who_is_gone(lab: Lab) -> str:
    replica, other = await lab.replica(), await lab.replica("other")
    lab.allowed.ended.update({"shop-1", "shop-2"})
    await lab.connect(replica, "shop-1")
    old, _ = await invited(lab, replica, "shop-1")
    never, _ = await invited(lab, replica, "shop-2")
    await disconnect(other, "shop-1")
    expect(await disconnect(other, "shop-2") == "CONNECTION_NOT_FOUND", "a store that never connected was found")
    seen = [str(await replica.complete(one)) for one in (old, never)]
    under_way, _ = await invited(lab, replica, "shop-2")
    await lab.fault("slow", seconds=3)
    before = await lab.calls()
    completing = asyncio.create_task(replica.complete(under_way))

    async def exchanging() -> bool:
        return await lab.calls() > before

    await until("the exchange of the code", exchanging)
    await disconnect(other, "shop-2")
    seen.append(str(await completing))
    expect(seen == ["STATE_INVALID"] * 3, seen)
    stored = await lab.sql("SELECT owner_id FROM connections WHERE status <> 'DISCONNECTED'")
    live = [grant["live_refresh_token"] for grant in (await lab.ledger("shop-2"))["grants"]]
    expect((stored, any(live)) == ([], False), f"{stored} are connected, {len(live)} grants")
    lab.allowed.ended.clear()
    again = [await replica.complete((await invited(lab, replica, code))[0]) for code in ("shop-1", "shop-2")]
    expect([one.freshness for one in again] == ["CONNECTED"] * 2, again)
    return f"{', '.join(seen)}; nothing connected, the grant given back; new links: {again[0]}, {again[1]}"


async def disconnect(replica: Replica, code: str) -> str:
    """End a store's connection and links; return what was said."""
    try:
        await replica.connections.Disconnect(token_pb2.DisconnectRequest(connection=reference(code)))
    except ConnectionNotFound as error:
        return error.reason
    return ""


@case(
    "S14",
    fault="one state used 40 times at once at two replicas, and later again",
    expected="one exchange and one connection; STATE_REUSED for all others",
)
async def replayed_state(lab: Lab) -> str:
    replicas = [await lab.replica("a"), await lab.replica("b")]
    seen: Counter[str] = Counter()
    for code in ("shop-1", "shop-2", "shop-3"):
        came_back, _ = await invited(lab, replicas[0], code)
        at_once = await asyncio.gather(*(replica.complete(came_back) for replica in replicas * 20))
        later = [await replica.complete(came_back) for replica in replicas]
        seen.update(str(outcome) for outcome in [*at_once, *later])
    expect(seen == {"CONNECTED 1": 3, "STATE_REUSED": 123}, dict(seen))
    expect(await lab.calls() == 3, f"TikTok was asked {await lab.calls()} times")
    rows = await lab.sql("SELECT epoch, generation FROM connections")
    expect([tuple(row) for row in rows] == [(1, 1)] * 3, rows)
    return f"{dict(seen)}; {await lab.calls()} exchanges for 3 links"


def forged(state: str) -> Iterator[str]:
    """Yield states that somebody without the secret can make of one that is good."""
    payload, _, signature = state.partition(".")
    yield from (f"{payload}.", payload, f".{signature}", f"{payload}.{payload}", f"{signature}.{payload}", "", ".")
    yield f"{payload}.{unpadded(bytes(32))}"
    for digest in ("sha256", "sha1", "sha512", "md5"):
        yield f"{payload}.{unpadded(hashlib.new(digest, payload.encode()).digest())}"
        for key in (b"", payload.encode(), OTHER_SECRET.encode(), b"s" * 64):
            yield f"{payload}.{unpadded(hmac.digest(key, payload.encode(), digest))}"
    for algorithm in ("none", "None", "HS256", "RS256"):
        told = saying({"alg": algorithm, "typ": "JWT"})
        yield from (f"{told}.{payload}.", f"{told}.{payload}.{signature}")
    yield f"{saying({**payload_of(state), 'alg': 'none'})}."
    yield from (f"{payload}=.{signature}", f"{payload}.{signature}=", f" {state}", f"{state}\x00", f"{state}.")


def altered(state: str) -> Iterator[str]:
    """Yield a state with each of its characters changed, in its case or in its lowest bit, and cut at each."""
    for place, character in enumerate(state):
        for other in {character.swapcase(), chr(ord(character) ^ 1)} - {character}:
            yield state[:place] + other + state[place + 1 :]
        yield state[:place]


@case(
    "S16",
    fault="a state with any character changed, cut, signed otherwise or not at all, or under a secret of another day",
    expected="STATE_INVALID each time, no call to TikTok; links under way outlive the change of the secret",
)
async def tampered_state(lab: Lab) -> str:
    replica = await lab.replica()
    came_back, _ = await invited(lab, replica, "shop-1")
    count = await all_refused(replica, came_back, altered(came_back["state"]))
    tricks = await all_refused(replica, came_back, forged(came_back["state"]))
    stranger = await lab.replica("stranger", STATE_SECRET=OTHER_SECRET)
    theirs, _ = await invited(lab, stranger, "shop-2")
    crossed = [str(await stranger.complete(came_back)), str(await replica.complete(theirs))]
    expect(set(crossed) == {"STATE_INVALID"}, crossed)
    expect(await lab.calls() == 0, f"TikTok was asked {await lab.calls()} times")
    changed = await lab.replica("changed", STATE_SECRET=OTHER_SECRET, STATE_SECRETS_ACCEPTED="s" * 64)
    made = [str(await changed.complete(one)) for one in (came_back, theirs)]
    expect(made == ["CONNECTED 1"] * 2, made)
    return f"{count} alterations, {tricks} forgeries, 2 of another secret: STATE_INVALID, 0 calls; then {made[0]}"
