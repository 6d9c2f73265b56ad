"""Who minted, presented and called what: counters for ever, events in a bounded ring."""

from collections import Counter, deque
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Any, Literal

from sandbox.grants import Pair

Json = dict[str, Any]
EventKind = Literal["minted", "presented", "called", "revoked"]


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened; `what` is a token kind or an endpoint, `generation` a token's serial in its grant."""

    kind: EventKind
    what: str
    outcome: str
    open_id: str = ""
    grant: str = ""
    generation: int = 0
    token: str = ""


@dataclass(frozen=True, slots=True)
class _Entry:
    sequence: int
    at: float
    event: Event

    def as_json(self) -> Json:
        when = datetime.fromtimestamp(self.at, UTC).isoformat(timespec="milliseconds")
        return {"sequence": self.sequence, "at": when, **asdict(self.event)}


class Ledger:
    """Remembers counts of everything and the newest events in full."""

    def __init__(self, *, now: Callable[[], float], keep: int) -> None:
        self._now = now
        self._keep = keep
        self.reset()

    def reset(self) -> None:
        """Forget everything, counters included."""
        self._sequence = 0
        self._events: deque[_Entry] = deque(maxlen=self._keep)
        self._totals: Counter[str] = Counter()
        self._accounts: dict[str, Counter[str]] = {}
        self._grants: dict[str, Counter[str]] = {}

    def record(self, event: Event) -> None:
        """Count an event and keep it while there is room."""
        self._sequence += 1
        self._events.append(_Entry(self._sequence, self._now(), event))
        name = f"{event.kind}.{event.what}.{event.outcome}"
        self._totals[name] += 1
        if event.open_id:
            self._accounts.setdefault(event.open_id, Counter())[name] += 1
        if event.grant:
            self._grants.setdefault(event.grant, Counter())[name] += 1

    def record_pair(self, pair: Pair) -> None:
        """Write down that these two tokens were minted."""
        grant = pair.grant
        for what, serial, token in (
            ("access", grant.access_serial, pair.access_token),
            ("refresh", grant.refresh_serial, pair.refresh_token),
        ):
            self.record(Event("minted", what, "ok", grant.open_id, grant.id, serial, token))

    def summary(self) -> Json:
        """Return the figures of the whole run."""
        return {"events": self._sequence, **figures(self._totals), "counters": dict(sorted(self._totals.items()))}

    def account(self, open_id: str) -> Json:
        """Return the figures of one account."""
        counts = self._accounts.get(open_id, Counter())
        return {**figures(counts), "counters": dict(sorted(counts.items()))}

    def grant(self, grant: str) -> Json:
        """Return the figures of one grant."""
        counts = self._grants.get(grant, Counter())
        return {name: value for name, value in figures(counts).items() if name in GRANT_FIGURES}

    def refreshes_per_grant(self) -> dict[str, int]:
        """Return how often each grant was refreshed, the busiest first; at most 100 of them."""
        counted = Counter({grant: counts["presented.refresh.rotated"] for grant, counts in self._grants.items()})
        return {grant: number for grant, number in counted.most_common(100) if number}

    def events(self, *, after: int, limit: int, open_id: str | None) -> list[Json]:
        """Return up to `limit` kept events with a sequence above `after`, oldest first."""
        wanted = (e for e in self._events if e.sequence > after and open_id in (None, e.event.open_id))
        return [entry.as_json() for entry in islice(wanted, limit)]


GRANT_FIGURES = ("refreshes", "dead_refresh_tokens_presented")
RATE_LIMITED = ("rate_limit_exceeded", "36009002", "fault_429")


def figures(counts: Counter[str]) -> Json:
    """Return the figures people ask for, out of the raw counters."""
    calls: Counter[str] = Counter()
    rate_limited = 0
    for name, number in counts.items():
        kind, what, outcome = name.split(".", 2)
        calls[what] += number if kind == "called" else 0
        rate_limited += number if kind == "called" and outcome in RATE_LIMITED else 0
    return {
        "refreshes": counts["presented.refresh.rotated"],
        "dead_refresh_tokens_presented": counts["presented.refresh.reused"],
        "codes_presented_again": counts["presented.code.reused"],
        "rate_limited": rate_limited,
        "pages": counts["called.video_list.ok"],
        "calls": {what: number for what, number in sorted(calls.items()) if number},
    }
