"""What a statement did, as the server's answer to it says."""


def rows_changed(tag: str) -> int:
    """Return how many rows, of a tag such as "DELETE 3" or "INSERT 0 3"."""
    return int(tag.rpartition(" ")[2])
