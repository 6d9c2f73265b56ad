"""Runs the commands of docs/cli.md beside a new suite and writes down what they print: `python -m tests.cli.record`."""

import asyncio
import re
import shlex
import sys
from urllib.parse import urlsplit

import asyncpg

from tests.cli import old_systems
from tests.cli.old_systems import KEY, OldSystem, accounts, store_rows
from tests.cli.operator_seat import OperatorSeat, seat_beside
from tests.suite.local_suite import ROOT, SERVING, Home, directory, start

DOCUMENT = ROOT / "docs" / "cli.md"
BLOCK = re.compile(r"(?<=```console\n).*?(?=```)", re.DOTALL)
STATE = re.compile(r"state=\S+")


def recorded(seat: OperatorSeat, block: str, shop: dict[str, str]) -> str:
    """Return a block with what its commands print, as somebody at a terminal sees it."""
    written = []
    for line in block.splitlines():
        if line.startswith("$ tokhub "):
            ended = seat.run(*shlex.split(line)[2:], **(shop if "populate" in line else {}))
            said = STATE.sub("state=…", ended.stderr + ended.stdout)
            written += [line, *(text.rstrip() for text in said.rstrip().splitlines()), ""]
            sys.stdout.write(f"{line}\n")
    return "\n".join(written)


async def main() -> None:
    """Record every block."""
    with directory() as path:
        home = Home(path, SANDBOX_SELLERS="60")
        async with start(home, STORES="3") as suite:
            await suite.until(SERVING)
            with seat_beside(home) as seat:
                await leave_old_system(seat)
                record(seat)


async def leave_old_system(seat: OperatorSeat) -> None:
    """Let there be the database of another system, and the files that `tokhub db import` is given."""
    suite = await asyncpg.connect(seat.home.admin_dsn)
    await suite.execute("CREATE DATABASE old")
    await suite.close()
    old = OldSystem(urlsplit(seat.home.admin_dsn)._replace(path="/old").geturl(), seat.home.path / "old-database")
    old.address_file.write_text(old.dsn)
    (seat.home.path / "old-key").write_text(KEY.hex())
    await old.execute(old_systems.STORES)
    stores, rows = store_rows(accounts(seat, first=5, count=3), "toko")
    rows[2]["status"] = "NEED_RECONNECT"
    await old.fill("stores", stores)
    await old.fill("store_accounts", rows)


def record(seat: OperatorSeat) -> None:
    """Write every block anew."""
    listed = seat.listed_shop("seller_0001")
    shop = {f"TIKTOK_SHOP1_{name.split('_', 2)[2]}": value for name, value in listed.items()}
    text = DOCUMENT.read_text(encoding="utf-8")
    DOCUMENT.write_text(BLOCK.sub(lambda block: recorded(seat, block[0], shop), text), encoding="utf-8")


if __name__ == "__main__":
    asyncio.run(main())
