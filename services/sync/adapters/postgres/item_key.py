"""An item's key as SQL: the same four parameters in every statement.

Plain texts: written as JSON, a text that is a member of an enumeration costs fifty times as much.
"""

from services.sync.domain.items import ItemKey

WHERE_KEY = "run_id = $1 AND job = $2 AND subject_kind = $3 AND subject_id = $4"
# The fence comes right behind the key.
WHERE_OWN = f"{WHERE_KEY} AND fence = $5 AND state = 'running'"


def key_values(key: ItemKey) -> tuple[str, str, str, str]:
    """Return the parameters $1 to $4."""
    return key.run_id, str(key.job), str(key.subject.kind), key.subject.id
