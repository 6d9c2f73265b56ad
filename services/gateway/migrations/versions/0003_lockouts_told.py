"""Whether a failure is the one that blocks its address, so that the one who counts it can tell people."""

from alembic import op

revision = "0003"
down_revision = "0002"

# Beside the function of the versions before, whose gateways go on asking it. Both look behind the lock of the row.
COUNT_AND_TELL = """
CREATE FUNCTION count_failure_and_tell(
    of_address text, most bigint, block_seconds double precision, OUT blocked_for double precision, OUT blocks boolean)
LANGUAGE plpgsql AS $$
BEGIN
    blocked_for := count_failure(of_address, most, block_seconds);
    blocks := blocked_for IS NULL
        AND EXISTS (SELECT FROM lockouts WHERE address = of_address AND blocked_until > clock_timestamp());
END
$$
"""


def upgrade() -> None:
    """Create the function."""
    op.execute(COUNT_AND_TELL)
