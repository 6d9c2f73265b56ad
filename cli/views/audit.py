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
