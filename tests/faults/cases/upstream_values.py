"""TikTok carries a refresh out and writes its answer strangely: other types, fields missing, tokens that are none."""

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any

from tokhub.token.v1 import token_pb2

from libs.errors import TokhubError
from tests.faults.case import case, expect
from tests.faults.history import Outcome
from tests.faults.lab import Lab
from tests.faults.processes import Replica
from tests.faults.products import SELLER, start_of, token_endpoint
from tests.faults.upstream import ask_all, connect, expect_statuses, forget_pauses, tally

LOST = "REAUTH_REQUIRED lost_response"
SAME = {"refresh_rotation": "same", "shop_refresh_rotation": "same"}
VALUES: dict[str, Any] = {
    "text": "123",
    "null": None,
    "huge": 1e308,
    "nan": float("nan"),
    "bigint": 2**63,
    "negative": -1,
    "true": True,
    "list": ["x"],
}
NO_TEXTS = {name: value for name, value in VALUES.items() if not isinstance(value, str)}
BESIDE = {
    "shop": ("expires_in", "refresh_expires_in", "open_id", "scope", "token_type"),
    SELLER: (
        "access_token_expire_in",
        "refresh_token_expire_in",
        "open_id",
        "seller_name",
        "granted_scopes",
        "user_type",
    ),
}
TOO_LONG = "x" * 20_000
Changes = Mapping[str, Mapping[str, Any]]


def pointer(code: str, field: str) -> str:
    """Return where a field stands in the token answer of a store's product."""
    return f"/data/{field}" if code.startswith(SELLER) else f"/{field}"


def table(fields: Mapping[str, Iterable[str]], values: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return by store what to change: every field of both products takes every value."""
    return {
        f"{product}-{field}-{name}": {field: value}
        for product in fields
        for field in fields[product]
        for name, value in values.items()
    }


async def prepared(lab: Lab, *tables: Iterable[str]) -> Replica:
    """Connect stores whose tokens have expired."""
    replica = await lab.replica()
    await connect(lab, replica, *(code for one in tables for code in one))
    await lab.expire()
    return replica


async def bend(lab: Lab, changes: Changes) -> None:
    """Let the next answer to each store have other fields."""
    for code, fields in changes.items():
        await lab.fault("field", code, set={pointer(code, field): value for field, value in fields.items()})


async def expect_all(replica: Replica, wanted: str, codes: Iterable[str]) -> list[Outcome]:
    """Ask for tokens; raise Missed unless every answer is the wanted one."""
    named = list(codes)
    outcomes = await ask_all(replica, named)
    others = [f"{code}: {one}" for code, one in zip(named, outcomes, strict=True) if str(one) != wanted]
    expect(not others, f"not {wanted}: {others[:5]}")
    return outcomes


async def work_on(lab: Lab, replica: Replica, wanted: str, codes: Iterable[str]) -> None:
    """Expect that what was kept of the answers is worth another refresh."""
    await forget_pauses(lab)
    await lab.expire()
    await expect_all(replica, wanted, codes)


async def exchange_with(lab: Lab, replica: Replica, code: str, changes: Mapping[str, Any]) -> str:
    """Let a consent come back and its token answer be changed; return the reason, or that it connected."""
    seller = code.startswith(SELLER)
    account = lab.sandbox.next_seller() if seller else lab.sandbox.next_account()
    link = await replica.connections.StartAuthorization(start_of(code))
    agree = lab.sandbox.agree if seller else lab.sandbox.consent
    came_back = await asyncio.to_thread(agree, link.authorize_url, account)
    fields = {pointer(code, field): value for field, value in changes.items()}
    lab.sandbox.fault("field", account, endpoint=token_endpoint(code), set=fields)
    request = token_pb2.CompleteAuthorizationRequest(state=came_back["state"], code=came_back["code"])
    try:
        await replica.connections.CompleteAuthorization(request)
    except TokhubError as error:
        return str(error.reason)
    return "connected"


@case(
    "U09 beside",
    fault="what stands beside the tokens is a text, null, 1e308, NaN, 2^63, negative, a bool or a list, for each field",
    expected="read or left out by rule: fresh, of the same account, of a life that can be, good for a next refresh",
)
async def other_types_beside(lab: Lab) -> str:
    changes = table(BESIDE, VALUES) | {
        f"shop-error-{name}": {"error": value} for name, value in NO_TEXTS.items() if name != "null"
    }
    replica = await prepared(lab, changes)
    before = {code: await lab.row(code) for code in changes}
    await bend(lab, changes)
    await expect_all(replica, "FRESH 2", changes)
    for code, old in before.items():
        await lab.saved(code, 2)
        row = await lab.row(code)
        life = (row["access_expires_at"] - row["received_at"]).total_seconds()
        expect(row["account_id"] == old["account_id"], f"{code} is of another account")
        expect(60 <= life <= 366 * 86_400, f"{code} lives {life:.0f} s")
        expect(bool(row["scopes"]), f"{code} has lost its scopes")
    await work_on(lab, replica, "FRESH 3", changes)
    return f"{len(changes)} answers: all FRESH 2, then FRESH 3 with the kept tokens"


@case(
    "U09 tokens",
    fault="a token itself is null, 1e308, NaN, 2^63, negative, a bool or a list",
    expected="without an access token the refresh token is kept and used; an unreadable refresh token is named at once",
)
async def other_types_of_tokens(lab: Lab) -> str:
    products = ("shop", SELLER)
    lame = table(dict.fromkeys(products, ("access_token",)), NO_TEXTS)
    garbled = table(dict.fromkeys(products, ("refresh_token",)), NO_TEXTS)
    garbled = {code: fields for code, fields in garbled.items() if fields["refresh_token"] is not None}
    replica = await prepared(lab, lame, garbled)
    await bend(lab, lame | garbled)
    without = await expect_all(replica, "UPSTREAM_BAD_RESPONSE", lame)
    await expect_all(replica, "FRESH 2", garbled)
    await expect_statuses(lab, "ACTIVE", lame)
    await expect_statuses(lab, "SUSPECT lost_response", garbled)
    lab.allowed.lost, lab.allowed.repeats = set(garbled), len(garbled)
    await work_on(lab, replica, "FRESH 3", lame)
    await lab.expire()
    named = await expect_all(replica, LOST, garbled)
    exchanges = await exchanges_without(lab, replica)
    return f"{tally(without)}, then FRESH 3; FRESH 2 and SUSPECT, then {tally(named)}; exchanges: {exchanges}"


async def exchanges_without(lab: Lab, replica: Replica) -> str:
    """Change what a code exchange cannot do without; return the reasons."""
    reasons = {
        await exchange_with(lab, replica, f"{product}-new", {field: value})
        for product in ("shop", SELLER)
        for field in ("access_token", "refresh_token", "open_id")
        for value in (None, ["x"], 2**63)
    }
    expect(reasons == {"UPSTREAM_BAD_RESPONSE"}, reasons)
    return ", ".join(sorted(reasons))


@case(
    "U10",
    fault="each field of a refresh answer is missing in turn; then both tokens, and all of a Shop's data",
    expected="fresh, or repeated once; an answer without a refresh token keeps the old one (RFC 6749, section 6)",
)
async def missing_fields(lab: Lab) -> str:
    beside = {f"{product}-no-{field}": [field] for product, fields in BESIDE.items() for field in fields}
    lame = {f"{product}-no-access": ["access_token"] for product in BESIDE}
    kept = {f"{product}-no-refresh": ["refresh_token"] for product in BESIDE}
    bare = {f"{product}-no-tokens": ["access_token", "refresh_token"] for product in BESIDE}
    replica = await prepared(lab, beside, lame, kept, bare, [f"{SELLER}-no-data"])
    await remove(lab, beside | lame)
    await expect_all(replica, "FRESH 2", beside)
    await expect_all(replica, "UPSTREAM_BAD_RESPONSE", lame)
    # A TikTok that does not rotate: only such a one leaves the refresh token out.
    await lab.switch(**SAME)
    await remove(lab, kept | bare)
    await lab.fault("field", f"{SELLER}-no-data", remove=["/data"])
    await expect_all(replica, "FRESH 2", [*kept, *bare, f"{SELLER}-no-data"])
    spent = [await lab.refreshes(code) for code in (*kept, *bare, f"{SELLER}-no-data")]
    expect(spent == [1, 1, 2, 2, 2], f"{spent} refreshes")
    codes = [*beside, *lame, *kept, *bare, f"{SELLER}-no-data"]
    await work_on(lab, replica, "FRESH 3", codes)
    await expect_statuses(lab, "ACTIVE", codes)
    return f"{len(codes)} answers: FRESH 2, without an access token UPSTREAM_BAD_RESPONSE; then all FRESH 3"


async def remove(lab: Lab, fields: Mapping[str, Iterable[str]]) -> None:
    """Let the next answer to each store lack fields."""
    for code, missing in fields.items():
        await lab.fault("field", code, remove=[pointer(code, field) for field in missing])


@case(
    "U11",
    fault="a token is empty, spaces, oversized, or the one of before",
    expected="empty is missing, oversized is not taken, the one of before is a generation more; the old token lives on",
)
async def odd_tokens(lab: Lab) -> str:
    odd = {"empty": "", "spaces": " \t\n ", "long": TOO_LONG}
    replica = await lab.replica()
    await lab.switch(**SAME)
    refresh, access = (table(dict.fromkeys(BESIDE, (field,)), odd) for field in ("refresh_token", "access_token"))
    equal = [f"{product}-equal" for product in BESIDE]
    await connect(lab, replica, *refresh, *access, *equal)
    before = await ask_all(replica, equal)
    await lab.expire()
    same = {code: {"access_token": one.token} for code, one in zip(equal, before, strict=True)}
    await bend(lab, refresh | access | same)
    await expect_all(replica, "FRESH 2", refresh)
    await expect_all(replica, "UPSTREAM_BAD_RESPONSE", access)
    after = await expect_all(replica, "FRESH 2", equal)
    expect([one.token for one in after] == [one.token for one in before], "another token than the one of before")
    await expect_statuses(lab, "SUSPECT lost_response", [code for code in refresh if code.endswith("long")])
    await work_on(lab, replica, "FRESH 3", [*refresh, *access, *equal])
    await expect_statuses(lab, "ACTIVE", [*refresh, *access, *equal])
    return f"{len(refresh)} odd refresh tokens FRESH 2, {len(access)} odd access tokens kept out, then all FRESH 3"
