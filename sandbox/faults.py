"""Scripted misfortune: a list of faults, the first that fits a call is used up by it."""

from itertools import count
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

FaultKind = Literal[
    "429", "500", "503", "html", "answer_lost", "slow", "truncated", "oauth_error", "access_token_invalid"
]
FaultEndpoint = Literal["token", "revoke", "user", "video", "shop_token", "shops", "*"]
Endpoint = Literal["token", "revoke", "user_info", "video_list", "video_query", "shop_token", "shops"]
FAMILIES: dict[Endpoint, FaultEndpoint] = {
    "token": "token",
    "revoke": "revoke",
    "user_info": "user",
    "video_list": "video",
    "video_query": "video",
    "shop_token": "shop_token",
    "shops": "shops",
}


class Fault(BaseModel):
    """What goes wrong, for whom, where and how often; `count` None is for ever, `skip` lets that many calls pass."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: FaultKind
    endpoint: FaultEndpoint = "*"
    open_id: str = "*"
    count: Annotated[int, Field(ge=1)] | None = 1
    skip: Annotated[int, Field(ge=0)] = 0
    seconds: Annotated[float, Field(ge=0, le=86_400)] = 5
    error: str = "invalid_grant"

    def fits(self, endpoint: Endpoint, open_id: str | None) -> bool:
        """Say whether this call is meant."""
        return self.endpoint in ("*", FAMILIES[endpoint]) and self.open_id in ("*", open_id)


class FaultScript:
    """The faults still to come, in order."""

    def __init__(self) -> None:
        self._faults: dict[int, Fault] = {}
        self._numbers = count(1)

    def add(self, fault: Fault) -> int:
        """Append a fault and return its number."""
        number = next(self._numbers)
        self._faults[number] = fault
        return number

    def remove(self, number: int) -> bool:
        """Take a fault out; False if it is not there any more."""
        return self._faults.pop(number, None) is not None

    def clear(self) -> None:
        """Take all faults out."""
        self._faults.clear()

    def pending(self) -> dict[int, Fault]:
        """Return the faults with what is left of their counts, by number."""
        return dict(self._faults)

    def take(self, endpoint: Endpoint, open_id: str | None) -> Fault | None:
        """Return the fault that hits this call, counting it down."""
        for number, fault in list(self._faults.items()):
            if not fault.fits(endpoint, open_id):
                continue
            if fault.skip:
                self._faults[number] = fault.model_copy(update={"skip": fault.skip - 1})
                continue
            self._count_down(number, fault)
            return fault
        return None

    def _count_down(self, number: int, fault: Fault) -> None:
        if fault.count == 1:
            del self._faults[number]
        elif fault.count is not None:
            self._faults[number] = fault.model_copy(update={"count": fault.count - 1})
