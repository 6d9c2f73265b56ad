"""What a test tells a service behind the gateway to do next; every such fake obeys the contract otherwise."""

from dataclasses import dataclass, field
from datetime import UTC, datetime

from libs.errors import (
    TokhubError,
)
from libs.rpc.actor import current_actor
from libs.rpc.request_id import current_request_id

NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass
class Scripted:
    """An error the next call of a service ends with, the request ids it was called with, and by whom."""

    fail_next: TokhubError | None = None
    request_ids: list[str] = field(default_factory=list)
    actors: list[str] = field(default_factory=list)

    def begin(self) -> None:
        self.request_ids.append(current_request_id())
        self.actors.append(current_actor())
        if self.fail_next:
            failure, self.fail_next = self.fail_next, None
            raise failure
