"""TikTok's rate limit as a log of slots: each call holds one until the window has left it behind."""

from alembic import op

revision = "0002"
down_revision = "0001"

SLOTS = """
CREATE TABLE upstream_slots (
    app         text COLLATE "C" NOT NULL,
    endpoint    text COLLATE "C" NOT NULL,
    taken_until timestamptz NOT NULL,
    calls       bigint NOT NULL,
    PRIMARY KEY (app, endpoint, taken_until)
) WITH (fillfactor = 50)
"""

# next_slot stays what it was for services of the version before: no slot before that moment.
BUDGETS = """
ALTER TABLE upstream_budgets
    ALTER COLUMN next_slot SET DEFAULT 'epoch',
    ADD COLUMN slowed_to double precision NOT NULL DEFAULT 1,
    ADD COLUMN slowed_at timestamptz NOT NULL DEFAULT 'epoch'
"""

# A function because what it reads must be read behind the lock it takes, and one round trip is all a call should cost.
TAKE = """
CREATE FUNCTION take_upstream_slots(
    of_app text, of_endpoint text,
    wants_interactive bigint, wants_bulk bigint, most bigint, most_bulk bigint,
    hold double precision, cleared_after double precision, grain double precision, recovery double precision,
    ended timestamptz[], ended_ago double precision[],
    OUT interactive bigint, OUT bulk bigint, OUT held_until timestamptz, OUT free_in double precision)
LANGUAGE plpgsql AS $$
DECLARE
    budget upstream_budgets;
    at timestamptz;
    taken bigint;
    share double precision;
BEGIN
    INSERT INTO upstream_budgets AS row (app, endpoint) VALUES (of_app, of_endpoint)
    ON CONFLICT (app, endpoint) DO UPDATE SET app = row.app RETURNING row.* INTO budget;
    at := clock_timestamp();

    UPDATE upstream_slots slot SET calls = slot.calls - back.calls
    FROM (SELECT until, count(*) AS calls FROM unnest(ended) AS until GROUP BY until) back
    WHERE app = of_app AND endpoint = of_endpoint AND taken_until = back.until;

    INSERT INTO upstream_slots AS slot (app, endpoint, taken_until, calls)
    SELECT of_app, of_endpoint, to_timestamp(ceil((extract(epoch FROM at) - ago + cleared_after) / grain) * grain),
           count(*)
    FROM unnest(ended_ago) AS ago GROUP BY 3
    ON CONFLICT (app, endpoint, taken_until) DO UPDATE SET calls = slot.calls + excluded.calls;

    -- Later than anything can last means that the clock was set back since: such a row would block for hours.
    DELETE FROM upstream_slots WHERE app = of_app AND endpoint = of_endpoint
        AND (taken_until <= at OR calls <= 0 OR taken_until > at + make_interval(secs => 2 * (hold + cleared_after)));
    SELECT coalesce(sum(calls), 0) INTO taken FROM upstream_slots WHERE app = of_app AND endpoint = of_endpoint;

    share := least(1, budget.slowed_to + extract(epoch FROM at - budget.slowed_at) / recovery);
    interactive := 0;
    bulk := 0;
    IF budget.next_slot <= at OR budget.next_slot > at + interval '1 hour' THEN
        interactive := least(wants_interactive, greatest(0, ceil(most * share)::bigint - taken));
        bulk := least(wants_bulk, greatest(0, ceil(most_bulk * share)::bigint - taken - interactive));
    END IF;
    held_until := to_timestamp(ceil((extract(epoch FROM at) + hold + cleared_after) / grain) * grain);
    IF interactive + bulk > 0 THEN
        INSERT INTO upstream_slots AS slot VALUES (of_app, of_endpoint, held_until, interactive + bulk)
        ON CONFLICT (app, endpoint, taken_until) DO UPDATE SET calls = slot.calls + excluded.calls;
    END IF;
    SELECT greatest(0, extract(epoch FROM greatest(min(taken_until), budget.next_slot) - at)) INTO free_in
    FROM upstream_slots WHERE app = of_app AND endpoint = of_endpoint;
END
$$
"""


def upgrade() -> None:
    """Create the log and the function that takes slots."""
    for statement in (SLOTS, BUDGETS, TAKE):
        op.execute(statement)
