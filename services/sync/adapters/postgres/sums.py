"""Sums that stop at the ends of bigint: one absurd count must not cost everything else that is read with it."""

LARGEST = (1 << 63) - 1  # PostgreSQL's bigint


def bounded_sum(expression: str) -> str:
    """Return SQL for the sum, NULL of nothing."""
    return f"greatest(least(sum({expression}), {LARGEST}), {-LARGEST})::bigint"
