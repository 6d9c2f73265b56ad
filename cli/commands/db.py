"""`tokhub db`: lets the services make their tables, and the token service take over what another system had."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import typer
from tokhub.token.v1 import token_pb2

from cli.checks.suite import PATIENCE as HEALTH_PATIENCE
from cli.commands.moving_in import EXAMPLES, import_rows
from cli.failures import Status
from cli.options import AsJson, DryRun, examples
from cli.output import plain, print_json, say, show
from cli.services import Services, ask
from cli.settings import environment
from cli.views.imports import imports_table, listed_plain, listed_table
from libs.errors import UpstreamUnavailable
from libs.rpc.health import serves
from libs.secret import Secret
from libs.settings import read_variable
from libs.tiktok.shop_environment import VARIABLE, ListedShop, listed_shops

FILE = "_FILE"
ADDRESSES = ("DATABASE_URL", "HP_marketplace_db_ddl")
# Each new token is refreshed once, twenty at a time.
PATIENCE = 900.0  # seconds
NOTHING = (
    "The environment and .env list no shop: set TIKTOK_SHOP1_REFRESH_TOKEN, TIKTOK_SHOP1_SHOP_CIPHER and "
    "TIKTOK_SHOP1_NAME, then those of shop 2, and so on."
)
REFUSED = frozenset(
    {token_pb2.IMPORT_OUTCOME_REFUSED, token_pb2.IMPORT_OUTCOME_OWNER_TAKEN, token_pb2.IMPORT_OUTCOME_INVALID}
)

group = typer.Typer(no_args_is_help=True, help="The database: its tables, and what another system had.")
group.command("import", epilog=EXAMPLES)(import_rows)


@group.command(epilog=examples("DATABASE_URL=postgresql://user:password@host/name tokhub db setup"))
def setup() -> None:
    """Create the schemas and tables in DATABASE_URL, or bring them up to date; doing it again changes nothing.

    Each service does this by itself when it starts. Without DATABASE_URL, say whether services that run have done so.
    """
    address = database_address(environment(Path.cwd()))
    if address is None:
        ask(say_what_serves)
        return
    for name in ("token", "sync", "gateway"):
        if status := migrated(name, address):
            raise typer.Exit(status)


def database_address(environ: Mapping[str, str]) -> Secret | None:
    """Return the address of the database, None when none is set."""
    found = (read_variable(name, environ) for name in ADDRESSES)
    return next((Secret(address) for address in found if address), None)


def migrated(name: str, address: Secret) -> int:
    """Let a service migrate its own schema; return its exit status. No list of processes shows the address."""
    ended = subprocess.run(  # noqa: S603 - the project's own programs
        (sys.executable, "-m", f"services.{name}", "migrate"),
        env={**os.environ, "DATABASE_URL": "", "DATABASE_URL_FILE": "/dev/stdin"},
        input=address.reveal().encode(),
        check=False,
    )
    return ended.returncode


async def say_what_serves(services: Services) -> None:
    """Say that the tables are there, as services that serve have made them; raise UpstreamUnavailable otherwise."""
    for name, channel in (("token", services.token.channel), ("sync", services.sync.channel)):
        if not await serves(channel, "database", patience=HEALTH_PATIENCE):
            raise UpstreamUnavailable(f"The {name} service cannot use its database: it may not have its tables.")
    say("Both services serve: they have brought their schemas up to date when they started.")


@group.command(epilog=examples("tokhub db populate --dry-run", "tokhub db populate"))
def populate(*, dry_run: DryRun = False, as_json: AsJson = False) -> None:
    """Take over the TikTok Shop tokens that TIKTOK_SHOP1_REFRESH_TOKEN and so on list in the environment or `.env`.

    Tokens of the list are dead afterwards: TikTok gives new ones in their place. Doing it again changes nothing,
    however old the list is. The exit status is 1 when a shop could not be taken over.
    """
    shops = listed_shops(with_files(environment(Path.cwd())))
    if not shops:
        say(NOTHING)
        return
    if dry_run:
        if as_json:
            print_json([listed_plain(shop) for shop in shops])
        else:
            show(listed_table(shops), empty=NOTHING)
        return
    request = token_pb2.ImportConnectionsRequest(entries=[entry_of(shop) for shop in shops])
    told = ask(lambda services: services.token.connections.ImportConnections(request, timeout=PATIENCE))
    if as_json:
        print_json(
            [{"shopNumber": shop.number, **plain(result)} for shop, result in zip(shops, told.results, strict=True)]
        )
    else:
        show(imports_table(shops, told.results), empty=NOTHING)
    failed = any(result.outcome in REFUSED for result in told.results)
    raise typer.Exit(Status.SOME_FAILED if failed else Status.DONE)


def with_files(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment with the values of those variables of shops that files hold."""
    named = {name.removesuffix(FILE) for name in environ if name.endswith(FILE)}
    found = {name: read_variable(name, environ) for name in named if VARIABLE.fullmatch(name)}
    return {**environ, **{name: value for name, value in found.items() if value}}


def entry_of(shop: ListedShop) -> token_pb2.ImportEntry:
    """Return a shop as it is imported."""
    return token_pb2.ImportEntry(
        access_token=shop.access_token.reveal(),
        refresh_token=shop.refresh_token.reveal(),
        shop_cipher=shop.cipher,
        name=shop.name,
        team_id=shop.team_id,
        shop_number=shop.number,
    )
