"""`tokhub stores`: the stores, how they are connected, new ones, and links to connect them."""

from collections.abc import Sequence
from typing import Annotated

import typer
from google.protobuf.duration_pb2 import Duration
from tokhub.sync.v1 import sync_pb2
from tokhub.token.v1 import token_pb2

from cli.lists import every_connection, pages
from cli.options import AsJson, Product, examples
from cli.output import plain, print_json, say, show
from cli.services import Services, ask
from cli.views.stores import StoreRow, link_text, stores_table
from libs.standing import by_store

# A store with the longest texts is 6 KiB: this many stay below gRPC's 4 MiB.
PAGE = 500
NO_STORES = "No store yet: `tokhub stores add CODE --name NAME --pic PERSON` adds one."

group = typer.Typer(no_args_is_help=True, help="Stores whose TikTok accounts are connected and synced.")

Code = Annotated[str, typer.Argument(metavar="CODE", help="Code of the store.")]


@group.command("list", epilog=examples("tokhub stores list", "tokhub stores list --json | jq '.[].store.storeCode'"))
def list_stores(*, as_json: AsJson = False) -> None:
    """List all stores, how each is connected, and when it was last synced."""
    rows = ask(every_store)
    if as_json:
        print_json([row.plain() for row in rows])
    else:
        show(stores_table(rows), empty=NO_STORES)


async def every_store(services: Services) -> list[StoreRow]:
    """Return all stores with the connections that stand for them."""
    rows: list[StoreRow] = []
    async for page in pages(services.sync.stores.ListStores, sync_pb2.ListStoresRequest(page_size=PAGE)):
        found = by_store(await login_kit_connections(services, [store.store_code for store in page.stores]))
        rows += [StoreRow(store=store, connection=found.get(store.store_code)) for store in page.stores]
    return rows


async def login_kit_connections(services: Services, codes: Sequence[str]) -> list[token_pb2.Connection]:
    """Return the connections of these stores' TikTok accounts."""
    if not codes:
        return []
    request = token_pb2.ListConnectionsRequest(page_size=PAGE, owner_kind=token_pb2.OWNER_KIND_STORE, owner_ids=codes)
    return [one async for one in every_connection(services, request) if one.provider == token_pb2.PROVIDER_LOGIN_KIT]


@group.command("add", epilog=examples("tokhub stores add jakarta_01 --name 'Jakarta Pusat' --pic 'Jane Doe'"))
def add_store(
    code: Code,
    *,
    name: Annotated[str, typer.Option(help="Name of the store.")],
    pic: Annotated[str, typer.Option(help="Person in charge.")],
    contact: Annotated[str | None, typer.Option(help="How to reach that person.")] = None,
    team_id: Annotated[int, typer.Option(min=0, help="Team that the store is counted with.")] = 1,
    as_json: AsJson = False,
) -> None:
    """Add a store, or bring back one that was deleted."""
    request = sync_pb2.CreateStoreRequest(
        store_code=code, store_name=name, pic_name=pic, pic_contact=contact, team_id=team_id
    )

    store = ask(lambda services: services.sync.stores.CreateStore(request)).store
    if as_json:
        print_json(plain(store))
    else:
        say(f"Store {store.store_code} is there. Next: `tokhub stores connect-link {store.store_code}`")


@group.command(
    "connect-link",
    epilog=examples("tokhub stores connect-link jakarta_01", "tokhub stores connect-link jakarta_01 --product shop"),
)
def connect_link(
    code: Code,
    *,
    product: Annotated[Product, typer.Option(help="What to connect.")] = Product.LOGIN_KIT,
    replace: Annotated[
        bool, typer.Option("--replace", help="Let another account take the place of the one that is connected.")
    ] = False,
    hours: Annotated[float, typer.Option(min=0.02, max=168, help="How long the link is good.")] = 24,
    as_json: AsJson = False,
) -> None:
    """Make a link to TikTok's consent page, to be sent to the owner of the account; it works once."""

    async def make(services: Services) -> token_pb2.StartAuthorizationResponse:
        found = await services.sync.stores.GetStore(sync_pb2.GetStoreRequest(store_code=code))
        return await services.token.connections.StartAuthorization(
            token_pb2.StartAuthorizationRequest(
                provider=product.provider,
                owner=token_pb2.Owner(kind=token_pb2.OWNER_KIND_STORE, id=code),
                team_id=found.store.team_id,
                binding=token_pb2.LINK_BINDING_NONE,
                purpose=token_pb2.LINK_PURPOSE_REPLACE if replace else token_pb2.LINK_PURPOSE_CONNECT,
                ttl=Duration(seconds=round(hours * 3600)),
            )
        )

    link = ask(make)
    if as_json:
        print_json({"url": link.authorize_url, "expireTime": link.expire_time.ToJsonString()})
    else:
        say(link_text(link, code))
