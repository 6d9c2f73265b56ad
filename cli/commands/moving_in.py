"""`tokhub db import`: takes over the connections of a system that was used before, once it has stopped."""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import typer
from tokhub.sync.v1 import sync_pb2

from cli.failures import Status, write_error
from cli.moving.old_database import open_old_database, read_address
from cli.moving.old_system import NotTakenOver, OldSystem, Place, in_clear
from cli.moving.old_tables import OldRow, OldTable
from cli.moving.old_tokens import read_key
from cli.moving.taking_over import FAILED, NOT_TRIED, Moved, See, create_stores, take_over
from cli.options import AsJson, DryRun, examples
from cli.output import open_console, print_json, say, show
from cli.services import Services, ask
from cli.views.moving import moved_plain, moved_row, moved_table, moved_text, planned
from libs.runs.display import open_display
from libs.secret import Secret

EXAMPLES = examples(
    "tokhub db import store_accounts --database-file old-database --key-file old-key --dry-run",
    "tokhub db import store_accounts --database-file old-database --key-file old-key --only store_jakarta_01",
    "tokhub db import tiktok_shop_integrations --database-file old-database --beside psql",
)
NO_ROW = "The table holds no row."
STOP_IT = (
    "The old system seems to be at work, and two systems that refresh the same tokens lose them both: "
    "stop it and whatever else uses its database, then give this command again."
)
ENDED_LATE = (
    "The old system was at work until the end: stop it now. Rows that it refreshed first are REFUSED here, and their "
    "owners have to connect again. All others work here, and only here."
)
GOES_ON = "\nThe token service ends what it was given. The same command goes on from there.\n"


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What is asked for: rows of where, opened with which key, after how many seconds of silence."""

    address: Secret
    place: Place
    key: bytes | None
    only: Sequence[str]
    watch: float


@dataclass(frozen=True, kw_only=True)
class Found:
    """What an old system that is still has."""

    system: OldSystem
    rows: Sequence[OldRow]
    stores: Sequence[sync_pb2.CreateStoreRequest]


Finish = Callable[[Services, Found], Awaitable[Moved]]


def import_rows(  # noqa: PLR0913 - one for each option
    table: Annotated[OldTable, typer.Argument(help="The old system's table that holds the tokens.")],
    *,
    database_file: Annotated[Path, typer.Option(help="File that holds the address of the old database.")],
    key_file: Annotated[Path | None, typer.Option(help="File with the key that encrypts its tokens, in hex.")] = None,
    called: Annotated[str, typer.Option("--table", help="What the table is called if not so, as schema.name.")] = "",
    only: Annotated[list[str] | None, typer.Option(help="Take over this row alone; may be repeated.")] = None,
    watch: Annotated[float, typer.Option(min=1, help="Seconds for which the old system must be still.")] = 60,
    beside: Annotated[list[str] | None, typer.Option(help="A program that may use the old database.")] = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Take over the connections of a system that was used before, from its database (docs/migration.md).

    First nothing may have changed there for a minute, and nobody else may use that database. Then each token is
    refreshed once: from then on it works here and no more there. The same command again goes on where it was. Nothing
    is written to the old database. The exit status is 3 when the old system is at work, 1 when rows have failed.
    """
    wish = Wish(
        address=read_address(database_file),
        place=Place(table=table, called=called, beside=beside or []),
        key=read_key(key_file) if key_file else None,
        only=only or [],
        watch=watch,
    )
    finish = rehearse if dry_run else carry_out_silently if as_json else carry_out
    try:
        moved = ask(lambda services: moving(services, wish, finish))
    except NotTakenOver as error:
        write_error(str(error), *error.faults)
        raise typer.Exit(Status.REFUSED) from None
    except KeyboardInterrupt:
        sys.stderr.write(GOES_ON)
        raise typer.Exit(Status.INTERRUPTED) from None
    if as_json:
        print_json(moved_plain(moved))
    else:
        show(moved_table(moved.rows), empty=NO_ROW)
        say(moved_text(moved))
    raise typer.Exit(told_status(moved))


async def moving(services: Services, wish: Wish, finish: Finish) -> Moved:
    """Read the rows, see that they stay as they are, and finish; raise NotTakenOver."""
    async with open_old_database(wish.address) as database:
        system = OldSystem(database, wish.place)
        rows, stores = await system.rows(), await system.stores()
        if unknown := set(wish.only) - {row.key for row in rows}:
            raise typer.BadParameter(f"no row is called {', '.join(sorted(unknown))}", param_hint="--only")
        if wish.only:
            rows = [row for row in rows if row.key in wish.only]
            stores = [store for store in stores if store.store_code in wish.only]
        rows = in_clear(rows, wish.key)
        sys.stderr.write(f"Watching the old system for {wish.watch:g} s.\n")
        await asyncio.sleep(wish.watch)
        if stirs := await system.stirs():
            raise NotTakenOver(f"Nothing was taken over. {STOP_IT}", stirs)
        return await finish(services, Found(system=system, rows=rows, stores=stores))


async def rehearse(_services: Services, found: Found) -> Moved:
    """Return what would be done."""
    return planned(found.rows, len(found.stores))


async def carry_out(services: Services, found: Found) -> Moved:
    """Take over the rows and show how far that is."""
    with open_display(open_console()) as display:
        return await taken_over(services, found, lambda ended: display.show([moved_row(len(found.rows), ended)]))


async def carry_out_silently(services: Services, found: Found) -> Moved:
    """Take over the rows."""
    return await taken_over(services, found, lambda _ended: None)


async def taken_over(services: Services, found: Found, see: See) -> Moved:
    """Create the stores, then import their accounts."""
    stores = await create_stores(services, found.stores)
    moved = await take_over(services, found.system, found.rows, see)
    return replace(moved, stores=stores)


def told_status(moved: Moved) -> Status:
    """Say it when the old system was at work meanwhile; return the exit status."""
    if any(one.outcome == NOT_TRIED for one in moved.rows):
        write_error(f"Not all was taken over. {STOP_IT}", *moved.stirs)
        return Status.REFUSED
    if moved.stirs:
        write_error(ENDED_LATE, *moved.stirs)
    failed = any(one.outcome in FAILED for one in moved.rows)
    return Status.SOME_FAILED if failed or moved.stirs else Status.DONE
