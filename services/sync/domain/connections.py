"""How a subject's TikTok connection stands, as far as a run has to know."""

from dataclasses import dataclass
from enum import Enum, auto

from services.sync.domain.subjects import Subject


class Standing(Enum):
    """What can be done with a connection."""

    USABLE = auto()
    NEEDS_RECONNECT = auto()
    DISCONNECTED = auto()
    NEVER_CONNECTED = auto()


@dataclass(frozen=True)
class Connection:
    """A subject and how its connection stands; account_id is TikTok's, where it was asked for."""

    subject: Subject
    standing: Standing
    account_id: str = ""
    refresh_is_due: bool = True
