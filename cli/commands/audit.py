"""`tokhub audit`: who did what, as both services recorded it."""

from enum import StrEnum
from typing import Annotated

import typer
from tokhub.audit.v1 import audit_pb2

from cli.options import AsJson, examples
from cli.output import plain, print_json, show
from cli.services import Services, ask
from cli.views.audit import AuditRow, audit_table

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
    limit: Annotated[int, typer.Option(min=1, max=1000, help="Most calls of each service, newest first.")] = 50,
    as_json: AsJson = False,
) -> None:
    """List recorded calls, the newest first."""
    request = audit_pb2.ListAuditRecordsRequest(page_size=limit, actor=actor)

    async def both(services: Services) -> list[AuditRow]:
        trails = {Side.TOKEN: services.token.audit, Side.SYNC: services.sync.audit}
        asked = {side: stub for side, stub in trails.items() if service in (side, Side.BOTH)}
        return [
            AuditRow(service=side, record=record)
            for side, stub in asked.items()
            for record in (await stub.ListAuditRecords(request)).records
        ]

    rows = sorted(ask(both), key=lambda row: row.record.begin_time.ToNanoseconds(), reverse=True)
    if as_json:
        print_json([{"service": row.service, **plain(row.record)} for row in rows])
    else:
        show(audit_table(rows), empty=NOTHING)
