"""An item's key as SQL: the same four parameters in every statement; and rows as the columns that unnest takes."""

from collections.abc import Sequence

from services.sync.domain.items import ItemKey

WHERE_KEY = "run_id = $1 AND job = $2 AND subject_kind = $3 AND subject_id = $4"
# The fence comes right behind the key.
WHERE_OWN = f"{WHERE_KEY} AND fence = $5 AND state = 'running'"


def key_values(key: ItemKey) -> tuple[str, str, str, str]:
    """Return the parameters $1 to $4."""
    return key.run_id, key.job, key.subject.kind, key.subject.id


def columns(rows: Sequence[tuple[object, ...]]) -> list[list[object]]:
    """Return rows, of which there is one at least, by column."""
    return [list(column) for column in zip(*rows, strict=True)]


def integers(column: Sequence[int | None]) -> str:
    """Return integers as the text of an array, for a parameter `$1::text::bigint[]`.

    Of a list, the driver asks each element twice whether it is a list: that costs more than all the rest.
    """
    return "{" + repr(column)[1:-1].replace("None", "NULL") + "}"
