"""Keys and what they seal, as people see them."""

from collections.abc import Iterable, Iterator

from rich.table import Table
from tokhub.token.v1 import vault_pb2

from cli.output import new_table
from cli.words import moment
from libs.runs.display import Row

NUMBERS = ("rows", "sealed")


def keys_table(ring: vault_pb2.GetKeyRingResponse) -> Table:
    """Return a table with a line for each key."""
    table = new_table("key", "role", *NUMBERS, "known to", "first seen (UTC)", "active since (UTC)", numbers=NUMBERS)
    for key in ring.keys:
        table.add_row(
            key.id,
            role_of(key),
            str(key.rows),
            str(key.encryptions),
            f"{len(key.replicas)} of {len(ring.live_replicas)} replicas",
            moment(key.first_seen_time),
            moment(key.activate_time),
        )
    return table


def role_of(key: vault_pb2.Key) -> str:
    """Return what a key does."""
    if key.active:
        return "seals"
    return "next" if key.preferred else "opens"


def ring_notes(ring: vault_pb2.GetKeyRingResponse) -> Iterator[str]:
    """Yield what an operator should know beside the table."""
    for key in ring.keys:
        if missing := sorted(set(ring.live_replicas) - set(key.replicas)):
            yield f"Key {key.id} is not known to {', '.join(missing)}: start them with it, or take it out everywhere."
    if ring.unrecognised_rows:
        yield f"{ring.unrecognised_rows} rows are sealed by no key of the ring: `tokhub vault verify` names them."


def to_rotate_text(ring: vault_pb2.GetKeyRingResponse) -> str:
    """Return what a rotation would do."""
    active = next((key.id for key in ring.keys if key.active), "")
    rows = sum(key.rows for key in ring.keys if not key.active)
    return f"{rows} rows would be sealed with the key {active}." if rows else f"Every row is sealed with {active}."


def rotation_row(progress: vault_pb2.RotationProgress) -> Row:
    """Return how far a rotation is."""
    stage = vault_pb2.RotationStage.Name(progress.stage).removeprefix("ROTATION_STAGE_").lower()
    return Row(
        label=f"to {progress.key_id}",
        total=max(progress.total, progress.rewritten),
        processed=progress.rewritten,
        failed=progress.unreadable,
        detail=stage,
    )


def rotated_text(summary: vault_pb2.RotationSummary) -> str:
    """Return how a rotation ended."""
    unreadable = (
        f"; {summary.unreadable} do not open and stayed: `tokhub vault verify` names them" if summary.unreadable else ""
    )
    took = summary.duration.ToTimedelta().total_seconds()
    return f"{summary.rewritten} rows sealed with {summary.key_id} in {took:.1f} s{unreadable}."


def left_text() -> str:
    """Return what becomes of a rotation whose caller left."""
    return "\nThe rotation stops after the batch in hand: `tokhub vault rotate` goes on from there.\n"


def findings_table(parts: Iterable[vault_pb2.VerifyVaultResponse]) -> Table:
    """Return a table with a line for each thing that does not open."""
    table = new_table("where", "connection", "owner", "why")
    for part in parts:
        if part.HasField("unreadable_record"):
            record = part.unreadable_record
            table.add_row(f"journal record {record.number}", record.connection_id, "", record.why)
        else:
            token = part.unreadable
            field = vault_pb2.SealedField.Name(token.field).removeprefix("SEALED_FIELD_").lower()
            table.add_row(field, f"{token.connection_number} ({token.connection_id})", token.owner, token.why)
    return table


def verified_text(summary: vault_pb2.VerifySummary) -> str:
    """Return what was looked at."""
    return (
        f"{summary.rows} connections looked at: {summary.unreadable_rows} with a token that does not open. "
        f"{summary.journal_records} journal records, of which {summary.unreadable_journal_records} do not open."
    )
