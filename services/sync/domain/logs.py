"""Lines of the sync log."""

from dataclasses import dataclass
from datetime import datetime

from services.sync.domain.outcomes import Outcome


@dataclass(frozen=True, kw_only=True)
class SyncLog:
    """A line about one store's job, or about a whole job when store_code is None."""

    id: int
    store_code: str | None
    job_name: str
    status: Outcome
    message: str
    raw_error: str | None
    duration_ms: int
    run_time: datetime
