"""What TikTok said, and when it was asked: the moment the call left, however long it had waited for its turn."""

from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar

Content = TypeVar("Content")


@dataclass(frozen=True, kw_only=True)
class Reading(Generic[Content]):
    """An answer of TikTok, as old as asked_at."""

    content: Content
    asked_at: datetime
