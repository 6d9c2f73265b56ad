"""What the sync service reads from its environment."""

from collections.abc import Mapping
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, Field, field_validator

from libs.audit.settings import RecordingSettings
from libs.rpc.listen import Listen, Target
from libs.secret import Secret
from libs.tiktok.address import Origin, Url
from services.sync.domain.cron import parse_cron
from services.sync.domain.jobs import Job
from services.sync.domain.rate_limit import RateLimit
from services.sync.domain.schedules import Schedule, Timetable

MOST_AT_WORK = 1_000
FEWEST_DAYS = 31


def check_zone(name: str) -> str:
    """Return the name of a time zone that exists; raise ValueError."""
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError("must be a time zone such as UTC or Asia/Jakarta") from None
    return name


AtWork = Annotated[int, Field(ge=1, le=MOST_AT_WORK)]


class SyncSettings(RecordingSettings):
    """Every field is the variable of its name in capitals."""

    database_url: Secret
    sync_listen: Listen = "127.0.0.1:50052"
    token_target: Target = "127.0.0.1:50051"
    sync_metrics_port: int = Field(default=9102, ge=0, le=65_535)
    # An item uses a connection for a few milliseconds at a time.
    db_pool_size: int = Field(default=20, ge=2, le=1_000)
    db_pool_min: int = Field(default=2, ge=0, le=1_000)

    # Calls of a job under way at once in this replica; the smallest useful number is calls per second times latency.
    sync_concurrency: AtWork = 30
    video_sync_concurrency: AtWork = 20
    refresh_concurrency: AtWork = 20
    # Calls for each endpoint in any window of so many seconds, over all replicas; TikTok's own limit.
    tiktok_rate_limit_per_minute: int = Field(default=600, ge=1, le=1_000_000)
    tiktok_rate_window_seconds: float = Field(default=60.0, ge=0.1, le=86_400)
    # The share of those calls that runs over many stores leave to syncs of one store.
    tiktok_interactive_share: float = Field(default=0.05, ge=0, le=0.9)
    tiktok_api_base_url: Origin = "https://open.tiktokapis.com"
    # Its host is where people reach the gateway: the log's reconnect links begin with it.
    tiktok_redirect_uri: Url = "http://127.0.0.1:3000/auth/tiktok/callback"
    # The zone in which days are counted.
    tz: Annotated[str, AfterValidator(check_zone)] = "UTC"

    # Days whose snapshots are kept; older ones go by whole months. 0 keeps everything.
    retention_days: int = Field(default=730, ge=0, le=36_500)
    # Days for which runs, their items and the sync log are kept, a year's reports and some more. 0 keeps everything.
    sync_history_days: int = Field(default=400, ge=0, le=36_500)

    # Whether jobs start by themselves, and when, in the zone above.
    cron_enabled: bool = True
    cron_token_refresh: str = Field(default="0 1 * * *", validate_default=True)
    cron_sync_user_daily: str = Field(default="0 2 * * *", validate_default=True)
    cron_sync_video_daily: str = Field(default="0 3 * * *", validate_default=True)

    @field_validator("retention_days", "sync_history_days")
    @classmethod
    def is_enough(cls, value: int) -> int:
        """Refuse to keep less than what reports show by themselves."""
        if 0 < value < FEWEST_DAYS:
            raise ValueError(f"must be at least {FEWEST_DAYS}, or 0 to keep everything")
        return value

    @field_validator("cron_token_refresh", "cron_sync_user_daily", "cron_sync_video_daily")
    @classmethod
    def is_cron(cls, value: str) -> str:
        """Refuse what is no cron expression, saying which field of it is wrong."""
        parse_cron(value, ZoneInfo("UTC"))
        return value

    @property
    def timetable(self) -> Timetable:
        """What runs by itself, and when."""
        zone = ZoneInfo(self.tz)
        times = (
            (Job.REFRESH_TOKENS, self.cron_token_refresh),
            (Job.USER, self.cron_sync_user_daily),
            (Job.VIDEO, self.cron_sync_video_daily),
        )
        schedules = tuple(Schedule(job, parse_cron(text, zone)) for job, text in times)
        return Timetable(enabled=self.cron_enabled, zone=self.tz, schedules=schedules)

    @property
    def places(self) -> Mapping[Job, int]:
        """How many calls of each job this replica has under way at most."""
        return {
            Job.USER: self.sync_concurrency,
            Job.VIDEO: self.video_sync_concurrency,
            Job.REFRESH_TOKENS: self.refresh_concurrency,
        }

    @property
    def rate_limit(self) -> RateLimit:
        """The limit as a value."""
        return RateLimit(
            calls=self.tiktok_rate_limit_per_minute,
            window=self.tiktok_rate_window_seconds,
            interactive_share=self.tiktok_interactive_share,
        )
