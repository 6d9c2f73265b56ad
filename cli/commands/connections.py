"""`tokhub connections`: who is connected, why a connection is as it is, and the end of one."""

from enum import StrEnum
from typing import Annotated

import typer
from tokhub.token.v1 import token_pb2

from cli.lists import every_connection
from cli.options import AsJson, DryRun, Products, examples
from cli.output import open_console, plain, print_json, say, show
from cli.references import HELP, find_connection, fits
from cli.services import Services, ask
from cli.views.connections import connection_line, connections_table, explanation_parts, revocation_text

PAGE = 500
NOBODY = "No connection like that. `tokhub stores connect-link CODE` makes a link to connect an account."


class Standing(StrEnum):
    """How a connection stands."""

    ACTIVE = "active"
    SUSPECT = "suspect"
    REAUTH_REQUIRED = "reauth_required"
    DISCONNECTED = "disconnected"

    @property
    def status(self) -> token_pb2.ConnectionStatus.ValueType:
        """What the protos call it."""
        return token_pb2.ConnectionStatus.Value(f"CONNECTION_STATUS_{self.name}")


group = typer.Typer(no_args_is_help=True, help="TikTok accounts that are, or were, connected.")

Named = Annotated[str, typer.Argument(metavar="CONNECTION", help=HELP)]
OfProduct = Annotated[Products, typer.Option(help="Only connections of this product.")]


@group.command(
    "list", epilog=examples("tokhub connections list", "tokhub connections list --status reauth_required --json")
)
def list_connections(
    *,
    status: Annotated[list[Standing] | None, typer.Option(help="Only these; may be repeated.")] = None,
    product: OfProduct = Products.ALL,
    as_json: AsJson = False,
) -> None:
    """List connections by number, and how each stands."""
    request = token_pb2.ListConnectionsRequest(page_size=PAGE, statuses=[one.status for one in status or ()])

    async def every(services: Services) -> list[token_pb2.Connection]:
        return [one async for one in every_connection(services, request) if fits(one, product)]

    connections = ask(every)
    if as_json:
        print_json([plain(one) for one in connections])
    else:
        show(connections_table(connections), empty=NOBODY)


@group.command(epilog=examples("tokhub connections explain store_0001", "tokhub connections explain 17 --events 10"))
def explain(
    named: Named,
    *,
    product: OfProduct = Products.ALL,
    events: Annotated[int, typer.Option(min=1, max=500, help="Newest events to show.")] = 20,
    as_json: AsJson = False,
) -> None:
    """Say how a connection stands, what happens to it next, and what has happened to it, newest first."""

    async def told(services: Services) -> token_pb2.ExplainConnectionResponse:
        reference = reference_to(await find_connection(services, named, product))
        return await services.token.connections.ExplainConnection(
            token_pb2.ExplainConnectionRequest(connection=reference, page_size=events)
        )

    explanation = ask(told)
    if as_json:
        print_json(plain(explanation))
        return
    for part in explanation_parts(explanation):
        open_console().print(part, soft_wrap=isinstance(part, str), markup=False)


@group.command(epilog=examples("tokhub connections disconnect store_0001", "tokhub connections disconnect 17 --yes"))
def disconnect(
    named: Named,
    *,
    product: OfProduct = Products.ALL,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """End a connection for good: its tokens are deleted, and its owner has to give consent again."""
    connection = ask(lambda services: find_connection(services, named, product))
    if dry_run:
        if as_json:
            print_json(plain(connection))
        else:
            say(f"Would be disconnected: {connection_line(connection)}")
        return
    if not yes:
        typer.confirm(f"Disconnect {connection_line(connection)}?", abort=True, err=True)
    request = token_pb2.DisconnectRequest(connection=reference_to(connection))
    ended = ask(lambda services: services.token.connections.Disconnect(request))
    if as_json:
        print_json(plain(ended))
    else:
        say(revocation_text(ended))


def reference_to(connection: token_pb2.Connection) -> token_pb2.ConnectionReference:
    """Return what names a connection in a call."""
    return token_pb2.ConnectionReference(connection_id=connection.id)
