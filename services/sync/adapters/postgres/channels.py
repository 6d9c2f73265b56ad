"""The channel on which a changed run is announced; a hint, never proof."""

CHANNEL = "reporting_runs"
# To be completed with the expression of the run's id.
NOTIFY_RUN = f"pg_notify('{CHANNEL}', ({{}})::text)"
