"""What callers asked and were answered, one JSON line each: kept when a case misses, and searched by the invariants."""

import json
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TextIO

from tokhub.token.v1 import token_pb2

from libs.errors import TokhubError, TryLater


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a call ended: with a token, or with an error's reason, why and all it says; took is in seconds."""

    token: str = field(default="", repr=False)
    generation: int = 0
    freshness: str = ""
    reason: str = ""
    why: str = ""
    said: str = ""
    retry_after: float = 0.0
    took: float = 0.0

    @property
    def fresh(self) -> bool:
        """Return whether a token came that is as long as asked for."""
        return self.freshness == "FRESH"

    @property
    def served(self) -> bool:
        """Return whether a token came that works."""
        return bool(self.token)

    def __str__(self) -> str:
        if self.freshness:
            return f"{self.freshness} {self.generation}"
        return f"{self.reason} {self.why}".strip()


def answered(response: token_pb2.GetValidTokenResponse, took: float) -> Outcome:
    """Return the outcome of a call that brought a token."""
    freshness = token_pb2.Freshness.Name(response.freshness).removeprefix("FRESHNESS_")
    return Outcome(token=response.access_token, generation=response.generation, freshness=freshness, took=took)


def connected(connection: token_pb2.Connection, took: float) -> Outcome:
    """Return the outcome of a consent that made a connection."""
    return Outcome(generation=connection.generation, freshness="CONNECTED", took=took)


def refused(error: TokhubError, took: float) -> Outcome:
    """Return the outcome of a call that was refused."""
    wait = error.retry_after if isinstance(error, TryLater) else 0.0
    said = f"{error.message} {dict(error.metadata)}"
    return Outcome(reason=error.reason, why=error.metadata.get("why", ""), said=said, retry_after=wait, took=took)


class History:
    """Appends outcomes to a file, without their tokens, and remembers them."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self.outcomes: list[Outcome] = []

    @classmethod
    def at(cls, path: Path) -> "History":
        """Return a new history in a file."""
        return cls(path.open("w", encoding="utf-8", buffering=1))

    def note(self, who: str, what: str, outcome: Outcome) -> Outcome:
        """Write down what somebody was answered, and return it."""
        self.outcomes.append(outcome)
        line = {"at": round(time.time(), 3), "who": who, "what": what, **asdict(outcome), "token": outcome.served}
        self._file.write(json.dumps(line) + "\n")
        return outcome

    def close(self) -> None:
        """Close the file."""
        self._file.close()
