"""The jobs a run can have, and the words they go by."""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType


class Job(StrEnum):
    """What is done for a store; ALL stands for the other three."""

    ALL = "all"
    USER = "user"
    VIDEO = "video"
    REFRESH_TOKENS = "refresh_tokens"


# In the order in which a run's counts are listed.
PARTS = (Job.USER, Job.VIDEO, Job.REFRESH_TOKENS)

LOG_NAMES: Mapping[Job, str] = MappingProxyType(
    {Job.USER: "sync_user_daily", Job.VIDEO: "sync_video_daily", Job.REFRESH_TOKENS: "refresh_tokens"}
)


def parts_of(job: Job) -> tuple[Job, ...]:
    """Return the jobs that are carried out one by one."""
    return PARTS if job is Job.ALL else (job,)
