"""`tokhub audit`: who did what, as both services recorded it."""

from enum import StrEnum
from typing import Annotated

import typer
from rich.console import Console
from tokhub.audit.v1 import audit_pb2, audit_pb2_grpc

from cli.failures import Status
from cli.options import AsJson, examples
from cli.output import plain, print_json, say, show
from cli.services import Services, ask
from cli.views.audit import AuditRow, audit_table, verified_text
from libs.errors import UpstreamUnavailable

NOTHING = "Nothing recorded: calls are recorded where services have certificates (docs/audit.md)."


class Side(StrEnum):
    """Whose trail."""

    TOKEN = "token"
    SYNC = "sync"
    BOTH = "both"


group = typer.Typer(no_args_is_help=True, help="The audit trail: what operators and holders of API keys did.")


@group.command(
    "list",
    epilog=examples("tokhub audit list", "tokhub audit list --service token --actor operator/alice --limit 20"),
)
def list_records(
    *,
    service: Annotated[Side, typer.Option(help="Whose trail.")] = Side.BOTH,
    actor: Annotated[str, typer.Option(help="Only calls by this actor, as operator/alice.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=1000, help="Most calls, newest first.")] = 50,
    as_json: AsJson = False,
) -> None:
    """List recorded calls, the newest first."""
    request = audit_pb2.ListAuditRecordsRequest(page_size=limit, actor=actor)

    async def both(services: Services) -> list[AuditRow]:
        return [
            AuditRow(service=side, record=record)
            for side, stub in trails(services, service).items()
            for record in (await stub.ListAuditRecords(request)).records
        ]

    rows = sorted(ask(both), key=lambda row: row.record.begin_time.ToNanoseconds(), reverse=True)[:limit]
    if as_json:
        print_json([{"service": row.service, **plain(row.record)} for row in rows])
    else:
        show(audit_table(rows), empty=NOTHING)


def trails(services: Services, service: Side) -> dict[Side, audit_pb2_grpc.AuditServiceStub]:
    """Return the trails that are asked for."""
    every = {Side.TOKEN: services.token.audit, Side.SYNC: services.sync.audit}
    return {side: stub for side, stub in every.items() if service in (side, Side.BOTH)}


@group.command(epilog=examples("tokhub audit verify", "tokhub audit verify --service sync --checkpoint 12:5f1c..."))
def verify(
    *,
    service: Annotated[Side, typer.Option(help="Whose trail.")] = Side.BOTH,
    checkpoint: Annotated[
        str, typer.Option(help="What an earlier verification of this service printed, kept elsewhere.")
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Walk the chain of recorded calls, and say whether a row was changed, removed, added or moved.

    The exit status is 1 when one was.
    """
    if checkpoint and service is Side.BOTH:
        raise typer.BadParameter("a checkpoint is of one service: say --service token or --service sync.")
    request = audit_pb2.VerifyAuditRequest(checkpoint=checkpoint)
    found = ask(lambda services: verified(trails(services, service), request))
    if as_json:
        print_json([{"service": side, **plain(summary)} for side, summary in found.items()])
    else:
        for side, summary in found.items():
            say(verified_text(side, summary))
    whole = all(summary.whole for summary in found.values())
    raise typer.Exit(Status.DONE if whole else Status.SOME_FAILED)


async def verified(
    stubs: dict[Side, audit_pb2_grpc.AuditServiceStub], request: audit_pb2.VerifyAuditRequest
) -> dict[Side, audit_pb2.AuditSummary]:
    """Return what was found in each trail; raise UpstreamUnavailable for one that was not walked to its end."""
    found: dict[Side, audit_pb2.AuditSummary] = {}
    with Console(stderr=True, highlight=False).status("") as status:
        for side, stub in stubs.items():
            async for news in stub.VerifyAudit(request):
                status.update(f"{side} service: {news.progress.rows} of {news.progress.total} rows")
                if news.HasField("summary"):
                    found[side] = news.summary
    if len(found) < len(stubs):
        raise UpstreamUnavailable("The verification broke off before its end: start it again.")
    return found
