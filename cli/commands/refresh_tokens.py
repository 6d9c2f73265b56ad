"""`tokhub refresh-tokens`: refreshes what is due, tells how each connection came out, and counts."""

from typing import Annotated

import typer
from tokhub.token.v1 import token_pb2

from cli.failures import Status
from cli.options import AsJson, DryRun, Products, examples
from cli.output import plain, print_json, say
from cli.services import Services, ask
from cli.views.refreshes import Refreshes, beginning, report, waiting
from libs.errors import TokhubError

EXAMPLES = examples(
    "tokhub refresh-tokens",
    "tokhub refresh-tokens --team-id 1 --force",
    "tokhub refresh-tokens --product all --dry-run",
)


def refresh_tokens(
    *,
    team_id: Annotated[int | None, typer.Option(min=0, help="Only connections of this team.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Refresh also what is not due.")] = False,
    dry_run: DryRun = False,
    product: Annotated[Products, typer.Option(help="Whose tokens.")] = Products.SHOP,
    as_json: AsJson = False,
) -> None:
    """Refresh the tokens of TikTok Shop connections that have less than 24 hours left, or less than half of their life.

    The exit status is 1 if any failed.
    """
    request = token_pb2.RefreshAllRequest(provider=product.provider, team_id=team_id, force=force, dry_run=dry_run)
    if not as_json:
        say(beginning(product, dry_run=dry_run))
    heard = ask(lambda services: refresh(services, request))
    if as_json:
        print_json({"connections": [plain(one) for one in heard.ended], "summary": plain(heard.summary)})
    else:
        say(report(heard, dry_run=dry_run))
    if heard.broken_off:
        raise heard.broken_off
    raise typer.Exit(Status.SOME_FAILED if heard.summary.failed else Status.DONE)


async def refresh(services: Services, request: token_pb2.RefreshAllRequest) -> Refreshes:
    """Return how each connection ended; what was heard before the stream broke off is not thrown away."""
    heard = Refreshes()
    with waiting() as count:
        try:
            async for news in services.token.tokens.RefreshAll(request):
                if news.HasField("ended"):
                    heard.ended.append(news.ended)
                    count(len(heard.ended))
                else:
                    heard.summary = news.summary
        except TokhubError as error:
            if not heard.ended:
                raise
            heard.broken_off = error
    return heard
