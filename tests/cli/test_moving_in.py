"""Whoever had another system keeps every connection, and no token is ever presented twice."""

import asyncio
import json
import time
from pathlib import Path
from subprocess import PIPE
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest
from tokhub.token.v1 import token_pb2, token_pb2_grpc

from libs.clock import SystemClock
from tests.cli import old_systems
from tests.cli.old_systems import CONNECTED, KEY, LAYOUTS, Grant, OldSystem, accounts, sealed, sellers, store_rows
from tests.cli.operator_seat import OperatorSeat

STORE, USER = token_pb2.OWNER_KIND_STORE, token_pb2.OWNER_KIND_USER
TOKENS = ("access_token", "refresh_token")
# The row changes once the command has looked at it, and before it looks again.
SLOW_REFRESH = """
    DO $$ BEGIN
        WHILE NOT EXISTS (SELECT FROM pg_stat_activity WHERE application_name = 'tokhub-import'
            AND datname = current_database() AND state = 'idle' AND query ILIKE 'commit%')
        LOOP PERFORM pg_sleep(0.05), pg_stat_clear_snapshot(); END LOOP;
        UPDATE store_accounts SET encrypted_refresh_token = 'newer' WHERE store_code = 's4401_000';
    END $$
"""


@pytest.fixture
def seat(crowded_seat: OperatorSeat) -> OperatorSeat:
    return crowded_seat


@pytest.fixture
def old(database_dsn: str, tmp_path: Path) -> OldSystem:
    """An empty database of another system."""
    (tmp_path / "address").write_text(database_dsn + "\n")
    (tmp_path / "key").write_text(KEY.hex() + "\n")
    return OldSystem(database_dsn, tmp_path / "address")


def arguments(old: OldSystem, table: str, *more: str) -> tuple[str, ...]:
    return ("db", "import", table, "--database-file", str(old.address_file), "--watch", "1", *more)


def key_of(old: OldSystem) -> tuple[str, str]:
    return ("--key-file", str(old.address_file.with_name("key")))


def outcomes(document: str) -> dict[str, list[str]]:
    """Return the rows by what became of them."""
    found: dict[str, list[str]] = {}
    for row in json.loads(document)["rows"]:
        found.setdefault(row["outcome"], []).append(row["row"])
    return found


Ask = token_pb2.GetValidTokenRequest


def store_account(code: str) -> token_pb2.GetValidTokenRequest:
    return asked(token_pb2.PROVIDER_LOGIN_KIT, STORE, code)


def asked(provider: Any, kind: Any, owner: str) -> token_pb2.GetValidTokenRequest:
    named = token_pb2.OwnerConnection(provider=provider, owner=token_pb2.Owner(kind=kind, id=owner))
    return token_pb2.GetValidTokenRequest(connection=token_pb2.ConnectionReference(owner_connection=named))


async def tokens(seat: OperatorSeat, asked_for: list[Ask]) -> list[token_pb2.GetValidTokenResponse]:
    """Return the tokens, in order; empty ones for those who have none."""
    async with seat.home.channel("TOKEN_LISTEN") as channel:
        request = token_pb2.BatchGetValidTokensRequest(requests=asked_for)
        return [
            one.token for one in (await token_pb2_grpc.TokenServiceStub(channel).BatchGetValidTokens(request)).results
        ]


async def with_shops(seat: OperatorSeat, asked_for: list[Ask]) -> list[token_pb2.GetValidTokenResponse]:
    """Return the tokens once every shop is known: on a busy machine some are asked for a minute later."""
    give_up_at = time.monotonic() + 100
    while True:
        held = await tokens(seat, asked_for)
        if all(one.shops for one in held):
            return held
        assert time.monotonic() < give_up_at
        await SystemClock().sleep(1)


def spent(seat: OperatorSeat, grants: list[Grant]) -> set[tuple[int, int]]:
    """Return how often TikTok was given living and dead refresh tokens, over all of the grants."""
    told = set()
    for grant in grants:
        account = seat.sandbox.get(f"/sandbox/ledger/accounts/{grant['open_id']}").raise_for_status().json()
        told |= {(one["refreshes"], one["dead_refresh_tokens_presented"]) for one in account["grants"]}
    return told


async def test_three_hundred_stores_move_in_with_their_people(seat: OperatorSeat, old: OldSystem) -> None:
    grants = accounts(seat, 1001, 300)
    stores, rows = store_rows(grants, "toko")
    rows[7]["status"], rows[8]["encrypted_refresh_token"] = "NEED_RECONNECT", None
    await old.execute(old_systems.STORES)
    await old.fill("stores", stores)
    await old.fill("store_accounts", rows)

    first = seat.says(*arguments(old, "store_accounts", *key_of(old), "--json"))
    second = seat.says(*arguments(old, "store_accounts", *key_of(old), "--json"))

    assert {outcome: len(found) for outcome, found in outcomes(first).items()} == {"IMPORTED": 298, "LEFT": 2}
    assert {outcome: len(found) for outcome, found in outcomes(second).items()} == {"ALREADY_KNOWN": 298, "LEFT": 2}
    assert (json.loads(first)["stores"], json.loads(second)["stores"]) == (300, 0)
    moved = [(grant, row) for n, (grant, row) in enumerate(zip(grants, rows, strict=True)) if n not in (7, 8)]
    held = await tokens(seat, [store_account(row["store_code"]) for _, row in moved])
    assert [one.account_id for one in held] == [grant["open_id"] for grant, _ in moved]
    assert spent(seat, [grant for grant, _ in moved]) == {(1, 0)}
    (store,) = [row["store"] for row in seat.json("stores", "list") if row["store"]["storeCode"] == "toko_123"]
    assert (store["storeName"], store["picName"], store["picContact"]) == ("Toko 123", "Budi", "123@example")
    connection = seat.json("connections", "explain", "toko_123")["connection"]
    assert connection["connectTime"] == f"{CONNECTED:%Y-%m-%dT%H:%M:%S}Z"


async def test_numbered_shops_keep_their_numbers(seat: OperatorSeat, old: OldSystem) -> None:
    grants = sellers(seat, 1001, 50)
    await old.execute(old_systems.SHOPS)
    await old.fill(
        "credentials.refresh_tiktokshops_token",
        [
            {
                "shop_number": 5000 + n,
                "shop_name": f"Shop {n}",
                "access_token": grant["access_token"],
                "refresh_token": grant["refresh_token"],
                "shop_cipher": grant["shops"][0]["cipher"],
                "access_token_expire_in": grant["access_expires_at"],
            }
            for n, grant in enumerate(grants)
        ],
    )

    seat.says(*arguments(old, "refresh_tiktokshops_token"))

    names = [asked(token_pb2.PROVIDER_TIKTOK_SHOP, STORE, f"tiktok-shop-{5000 + n}") for n in range(50)]
    held = await with_shops(seat, names)
    assert [one.shops[0].id for one in held] == [grant["shops"][0]["id"] for grant in grants]
    assert spent(seat, grants) == {(1, 0)}
    numbered = {shop["id"]: shop["number"] for one in seat.json("connections", "list") for shop in one["shops"]}
    assert [numbered[grant["shops"][0]["id"]] for grant in grants] == [5000 + n for n in range(50)]


async def test_integrations_keep_their_teams(seat: OperatorSeat, old: OldSystem) -> None:
    grants = sellers(seat, 2001, 30)
    await old.execute(old_systems.INTEGRATIONS)
    rows = [
        {
            "id": n + 1,
            "team_id": 700 + n,
            "status": "active",
            "access_token": grant["access_token"],
            "refresh_token": grant["refresh_token"],
        }
        for n, grant in enumerate(grants)
    ]
    rows[0]["status"] = "expired"
    await old.fill("tiktok_shop_integrations", rows)

    said = seat.says(*arguments(old, "tiktok_shop_integrations"))

    assert "its status is expired" in said
    names = [asked(token_pb2.PROVIDER_TIKTOK_SHOP, STORE, f"integration-{n + 1}") for n in range(1, 30)]
    assert [one.account_id for one in await tokens(seat, names)] == [grant["open_id"] for grant in grants[1:]]
    assert spent(seat, grants[1:]) == {(1, 0)}
    assert spent(seat, grants[:1]) == {(0, 0)}
    assert seat.json("connections", "explain", "integration-12")["connection"]["teamId"] == "711"


async def test_users_keep_the_shop_they_chose(seat: OperatorSeat, old: OldSystem) -> None:
    grants = sellers(seat, 3001, 30)
    await old.execute(old_systems.SHOP_USERS)
    await old.fill(
        "tiktok_shop_auth",
        [
            {
                "id": f"row-{n}",
                "userId": f"user-{n}",
                "shopId": grant["shops"][-1]["id"],
                "accessToken": grant["access_token"],
                "refreshToken": grant["refresh_token"],
                "accessTokenExpiresAt": CONNECTED,
                "refreshTokenExpiresAt": CONNECTED,
                "updatedAt": CONNECTED,
                "isActive": n > 0,
            }
            for n, grant in enumerate(grants)
        ],
    )

    seat.says(*arguments(old, "tiktok_shop_auth"))

    names = [asked(token_pb2.PROVIDER_TIKTOK_SHOP, USER, f"user-{n}") for n in range(1, 30)]
    held = await with_shops(seat, names)
    assert [[shop.id for shop in one.shops] for one in held] == [[grant["shops"][-1]["id"]] for grant in grants[1:]]
    assert (spent(seat, grants[1:]), spent(seat, grants[:1])) == ({(1, 0)}, {(0, 0)})


@pytest.mark.parametrize("is_sealed", [False, True], ids=["in clear", "sealed"])
async def test_creators_keep_their_accounts(seat: OperatorSeat, old: OldSystem, *, is_sealed: bool) -> None:
    grants = accounts(seat, 3001 + 100 * is_sealed, 30)
    await old.execute(old_systems.CREATORS.replace("tiktok_account ", "public.creator_accounts "))
    kept = [{**one, **{name: sealed(one[name], LAYOUTS[n % 5]) for name in TOKENS}} for n, one in enumerate(grants)]
    await old.fill(
        "creator_accounts",
        [
            {
                "user_id": f"creator-{is_sealed:d}-{n}",
                "access_token": one["access_token"],
                "refresh_token": one["refresh_token"],
                "is_active": True,
            }
            for n, one in enumerate(kept if is_sealed else grants)
        ],
    )
    key = key_of(old) if is_sealed else ()

    seat.says(*arguments(old, "tiktok_account", "--table", "public.creator_accounts", *key))

    names = [asked(token_pb2.PROVIDER_LOGIN_KIT, USER, f"creator-{is_sealed:d}-{n}") for n in range(30)]
    assert [one.account_id for one in await tokens(seat, names)] == [grant["open_id"] for grant in grants]
    assert spent(seat, grants) == {(1, 0)}


async def few_stores(seat: OperatorSeat, old: OldSystem, first: int, count: int) -> list[Grant]:
    """Let the old system have some stores, called after their first account."""
    grants = accounts(seat, first, count)
    stores, rows = store_rows(grants, f"s{first}")
    await old.execute(old_systems.STORES)
    await old.fill("stores", stores)
    await old.fill("store_accounts", rows)
    return grants


async def test_a_token_that_does_not_open_stops_everything(seat: OperatorSeat, old: OldSystem) -> None:
    grants = await few_stores(seat, old, 4001, 3)
    (old.address_file.with_name("key")).write_text("ab" * 32)

    wrong = seat.run(*arguments(old, "store_accounts", *key_of(old)))
    without = seat.run(*arguments(old, "store_accounts"))

    assert (wrong.returncode, without.returncode, wrong.stdout) == (3, 3, "")
    assert "The refresh token of store s4001_001 does not open with the key of --key-file." in wrong.stderr
    assert "The refresh token of store s4001_001 is encrypted, it seems" in without.stderr
    assert spent(seat, grants) == {(0, 0)}
    assert "s4001" not in json.dumps(seat.json("stores", "list"))


async def test_a_rehearsal_changes_nothing_and_needs_a_role_that_reads(seat: OperatorSeat, old: OldSystem) -> None:
    grants = await few_stores(seat, old, 4101, 3)
    await old.execute("CREATE ROLE reader LOGIN PASSWORD 'reads'; GRANT SELECT ON stores, store_accounts TO reader")
    address = urlsplit(old.dsn)
    old.address_file.write_text(urlunsplit(address._replace(netloc=f"reader:reads@{address.hostname}:{address.port}")))

    said = seat.says(*arguments(old, "store_accounts", *key_of(old), "--dry-run"))

    assert "3 WOULD_BE_IMPORTED; 3 stores" in said
    assert spent(seat, grants) == {(0, 0)}
    assert "s4101" not in json.dumps(seat.json("stores", "list"))


async def test_one_store_may_move_before_the_others(seat: OperatorSeat, old: OldSystem) -> None:
    grants = await few_stores(seat, old, 4201, 3)

    seat.says(*arguments(old, "store_accounts", *key_of(old), "--only", "s4201_001"))
    unknown = seat.run(*arguments(old, "store_accounts", *key_of(old), "--only", "nobody"))

    assert [spent(seat, [grant]) for grant in grants] == [{(0, 0)}, {(1, 0)}, {(0, 0)}]
    assert unknown.returncode == 2


async def test_a_program_that_uses_the_old_database_stops_everything(seat: OperatorSeat, old: OldSystem) -> None:
    grants = await few_stores(seat, old, 4301, 2)
    session = await asyncpg.connect(old.dsn, server_settings={"application_name": "old hub"})
    try:
        refused = seat.run(*arguments(old, "store_accounts", *key_of(old)))
        untouched = spent(seat, grants)
        seat.says(*arguments(old, "store_accounts", *key_of(old), "--beside", "old hub"))
    finally:
        await session.close()

    assert (refused.returncode, untouched) == (3, {(0, 0)})
    assert "In use by the program 'old hub'" in refused.stderr
    assert spent(seat, grants) == {(1, 0)}


async def test_an_old_system_that_refreshes_first_stops_everything(seat: OperatorSeat, old: OldSystem) -> None:
    grants = await few_stores(seat, old, 4401, 2)
    refreshing = asyncio.create_task(old.execute(SLOW_REFRESH))

    refused = await asyncio.to_thread(seat.run, *arguments(old, "store_accounts", *key_of(old)))

    await refreshing
    assert (refused.returncode, spent(seat, grants)) == (3, {(0, 0)})
    assert "Changed meanwhile: store s4401_000." in refused.stderr


def wait_until_spent(seat: OperatorSeat, grant: Grant) -> None:
    give_up_at = time.monotonic() + 60
    while spent(seat, [grant]) != {(1, 0)}:
        assert time.monotonic() < give_up_at
        time.sleep(0.05)


async def test_an_old_system_that_wakes_up_in_the_middle_stops_the_rest(seat: OperatorSeat, old: OldSystem) -> None:
    grants = await few_stores(seat, old, 5001, 120)
    seat.fault("latency", open_id=grants[39]["open_id"], seconds=4)
    command = seat.command(*arguments(old, "store_accounts", *key_of(old), "--json"))
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=seat.home.path,
        env=seat.environment,
        stdout=PIPE,
        stderr=PIPE,
    )
    await asyncio.to_thread(wait_until_spent, seat, grants[0])
    await old.execute("UPDATE store_accounts SET last_sync_time = now() WHERE store_code = 's5001_119'")
    said, errors = await process.communicate()

    assert process.returncode == 3
    assert {outcome: len(found) for outcome, found in outcomes(said.decode()).items()} == {
        "IMPORTED": 40,
        "NOT_TRIED": 80,
    }
    assert "Changed meanwhile: store s5001_119." in errors.decode()
    assert (spent(seat, grants[:40]), spent(seat, grants[40:])) == ({(1, 0)}, {(0, 0)})
    seat.says(*arguments(old, "store_accounts", *key_of(old)))
    assert spent(seat, grants) == {(1, 0)}


def test_what_is_wrong_with_the_old_database_is_told_without_its_address(seat: OperatorSeat, old: OldSystem) -> None:
    without = seat.run(*arguments(old, "store_accounts"))
    old.address_file.write_text("postgresql://hub:secret-word@127.0.0.1:1/old")
    away = seat.run(*arguments(old, "store_accounts"))
    old.address_file.unlink()
    unread = seat.run(*arguments(old, "store_accounts"))

    assert [one.returncode for one in (without, away, unread)] == [78, 75, 78]
    assert "has no table store_accounts" in without.stderr
    assert "cannot be reached" in away.stderr
    assert "secret-word" not in away.stderr + away.stdout
