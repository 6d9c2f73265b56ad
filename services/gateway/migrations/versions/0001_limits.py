"""What addresses have spent, which a crash may forget, and who is blocked, which it may not."""

from alembic import op

revision = "0001"
down_revision = None

# A row for each moment in which an address spent something, until that has left the window behind it.
SPENT = """
CREATE UNLOGGED TABLE spent (
    budget    text COLLATE "C" NOT NULL,
    address   text COLLATE "C" NOT NULL,
    clears_at timestamptz NOT NULL,
    requests  bigint NOT NULL,
    PRIMARY KEY (budget, address, clears_at)
)
"""

LOCKOUTS = """
CREATE TABLE lockouts (
    address       text COLLATE "C" PRIMARY KEY,
    failures      timestamptz[] NOT NULL,
    blocked_until timestamptz NOT NULL
) WITH (fillfactor = 50)
"""

# A function because the sum must be read behind the lock. Moments are told apart by a thousandth of the window, so that
# a large budget has no more rows than a small one; rounding up never gives a request too much.
SPEND = """
CREATE FUNCTION spend(
    of_budget text, of_address text, wanted bigint, most bigint, span double precision,
    OUT granted bigint, OUT remaining bigint, OUT more_in double precision)
LANGUAGE plpgsql AS $$
DECLARE
    at timestamptz;
    grain double precision := span / 1000;
    oldest timestamptz;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('tokhub limits'), hashtext(of_budget || ' ' || of_address));
    at := clock_timestamp();
    -- Later than anything can clear means that the clock was set back since: such a row would block for hours.
    DELETE FROM spent WHERE budget = of_budget AND address = of_address
        AND (clears_at <= at OR clears_at > at + make_interval(secs => 2 * span));
    SELECT most - coalesce(sum(requests), 0), min(clears_at) INTO remaining, oldest
    FROM spent WHERE budget = of_budget AND address = of_address;

    granted := greatest(0, least(wanted, remaining));
    remaining := greatest(0, remaining - granted);
    IF granted > 0 THEN
        INSERT INTO spent AS row VALUES (of_budget, of_address,
            to_timestamp(ceil((extract(epoch FROM at) + span) / grain) * grain), granted)
        ON CONFLICT (budget, address, clears_at) DO UPDATE SET requests = row.requests + excluded.requests;
    END IF;
    more_in := least(span, coalesce(extract(epoch FROM oldest - at), span));
END
$$
"""

# The same for an address that may be blocked; one round trip is all that a right key should cost.
SPEND_UNLESS_BLOCKED = """
CREATE FUNCTION spend_unless_blocked(
    of_budget text, of_address text, wanted bigint, most bigint, span double precision,
    OUT granted bigint, OUT remaining bigint, OUT more_in double precision, OUT blocked_for double precision)
LANGUAGE plpgsql AS $$
BEGIN
    SELECT extract(epoch FROM blocked_until - clock_timestamp()) INTO blocked_for
    FROM lockouts WHERE address = of_address AND blocked_until > clock_timestamp();
    IF FOUND THEN
        granted := 0;
        remaining := 0;
        more_in := blocked_for;
        RETURN;
    END IF;
    SELECT got.granted, got.remaining, got.more_in INTO granted, remaining, more_in
    FROM spend(of_budget, of_address, wanted, most, span) AS got;
END
$$
"""

# Null when the failure counted; the seconds left when the address was blocked before.
COUNT_FAILURE = """
CREATE FUNCTION count_failure(
    of_address text, most bigint, block_seconds double precision, OUT blocked_for double precision)
LANGUAGE plpgsql AS $$
DECLARE
    known lockouts;
    at timestamptz;
    recent timestamptz[];
    block interval := make_interval(secs => block_seconds);
BEGIN
    INSERT INTO lockouts AS row VALUES (of_address, '{}', '-infinity')
    ON CONFLICT (address) DO UPDATE SET address = row.address RETURNING row.* INTO known;
    at := clock_timestamp();
    IF known.blocked_until > at THEN
        blocked_for := extract(epoch FROM known.blocked_until - at);
        RETURN;
    END IF;
    recent := array(SELECT failed FROM unnest(known.failures) AS failed WHERE failed > at - block) || at;
    IF cardinality(recent) < most THEN
        UPDATE lockouts SET failures = recent WHERE address = of_address;
    ELSE
        UPDATE lockouts SET failures = '{}', blocked_until = at + block WHERE address = of_address;
    END IF;
END
$$
"""


def upgrade() -> None:
    """Create the tables and what works on them."""
    for statement in (SPENT, LOCKOUTS, SPEND, SPEND_UNLESS_BLOCKED, COUNT_FAILURE):
        op.execute(statement)
