"""Rows of another system that are taken over, as people see them; never their tokens."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from rich.table import Table

from cli.moving.old_tables import OldRow
from cli.moving.taking_over import FAILED, LEFT, Ended, Moved
from cli.output import new_table
from cli.words import NONE, owner_word
from libs.runs.display import Row

WOULD_BE = "WOULD_BE_IMPORTED"


def planned(rows: Iterable[OldRow], stores: int) -> Moved:
    """Return what would become of each row; of the stores some may be there."""
    told = [Ended(row=row, outcome=LEFT if row.left_because else WOULD_BE, message=row.left_because) for row in rows]
    return Moved(rows=told, stores=stores)


def moved_table(rows: Iterable[Ended]) -> Table:
    """Return a table of what became of each row."""
    table = new_table("row", "owner", "outcome", "connection", "what to know")
    for ended in rows:
        table.add_row(ended.row.name, owner_of(ended.row), ended.outcome, ended.connection_id or NONE, ended.message)
    return table


def moved_text(moved: Moved) -> str:
    """Return how many rows came to what."""
    counted = Counter(ended.outcome for ended in moved.rows)
    told = ", ".join(f"{count} {outcome}" for outcome, count in sorted(counted.items())) or "no row"
    done = "to add" if WOULD_BE in counted else "added"
    return f"{told}; {moved.stores} stores {done}" if moved.stores else told


def moved_row(total: int, ended: Sequence[Ended]) -> Row:
    """Return how far it is."""
    failed = sum(one.outcome in FAILED for one in ended)
    return Row(label="take over", total=total, processed=len(ended), failed=failed)


def moved_plain(moved: Moved) -> dict[str, Any]:
    """Return all of it for programs."""
    rows = [
        {
            "row": one.row.name,
            "owner": owner_of(one.row),
            "outcome": one.outcome,
            "connectionId": one.connection_id,
            "message": one.message,
        }
        for one in moved.rows
    ]
    return {"rows": rows, "oldSystem": list(moved.stirs), "stores": moved.stores}


def owner_of(row: OldRow) -> str:
    """Return whose it will be."""
    if row.entry.HasField("owner"):
        return owner_word(row.entry.owner)
    return f"tiktok-shop-{row.entry.shop_number}"
