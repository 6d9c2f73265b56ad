"""The audit trail as people see it."""

from collections.abc import Iterable
from dataclasses import dataclass

from rich.table import Table
from tokhub.audit.v1 import audit_pb2

from cli.output import new_table
from cli.words import moment


@dataclass(frozen=True, kw_only=True)
class AuditRow:
    """A recorded call, and the service that recorded it."""

    service: str
    record: audit_pb2.AuditRecord


def audit_table(rows: Iterable[AuditRow]) -> Table:
    """Return a table with a line for each call."""
    table = new_table("begun (UTC)", "who", "service", "did", "asked for", "outcome")
    for row in rows:
        record = row.record
        table.add_row(
            moment(record.begin_time),
            record.actor,
            row.service,
            record.method.rpartition("/")[2],
            record.request_json,
            record.outcome or "not ended",
        )
    return table


def verified_text(service: str, summary: audit_pb2.AuditSummary) -> str:
    """Return what became of a trail."""
    if not summary.whole:
        kind = audit_pb2.AuditBreakKind.Name(summary.broken.kind).removeprefix("AUDIT_BREAK_KIND_")
        return (
            f"The trail of the {service} service is broken at row {summary.broken.sequence}: {kind}. "
            "docs/audit.md says what was done to it."
        )
    older = f"; {summary.unchained_rows} older rows are not protected" if summary.unchained_rows else ""
    kept = f"\n  checkpoint, to be kept elsewhere: {summary.checkpoint}" if summary.checkpoint else ""
    return f"The trail of the {service} service is whole: {summary.rows} rows{older}.{kept}"
