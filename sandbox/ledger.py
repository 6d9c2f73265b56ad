"""Who minted, presented and called what: counters for ever, events in a bounded ring."""

from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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


DEAD = ("reused", "revoked", "expired")
PEERS_KEPT = 8


class DeadToken:
    """A token that was presented after its death: how often, and over which connections."""

    def __init__(self, event: Event) -> None:
        self.event = event
        self.presented = 0
        self._peers: Counter[str] = Counter()

    def presented_by(self, peer: str) -> None:
        """Count one presentation."""
        self.presented += 1
        if peer in self._peers or len(self._peers) < PEERS_KEPT:
            self._peers[peer] += 1

    def as_json(self) -> Json:
        """Return its row; `connections` are the clients' ends."""
        return {
            "what": self.event.what,
            "outcome": self.event.outcome,
            "open_id": self.event.open_id,
            "grant": self.event.grant,
            "generation": self.event.generation,
            "presented": self.presented,
            "connections": dict(self._peers),
        }


class Ledger:
    """Remembers counts of everything and the newest events in full."""

    def __init__(self, *, now: Callable[[], float], keep: int) -> None:
        self._now = now
        self._keep = keep
        self._peer = ""
        self.reset()

    def reset(self) -> None:
        """Forget everything, counters included."""
        self._sequence = 0
        self._events: deque[_Entry] = deque(maxlen=self._keep)
        self._totals: Counter[str] = Counter()
        self._accounts: dict[str, Counter[str]] = {}
        self._grants: dict[str, Counter[str]] = {}
        self._dead: dict[str, DeadToken] = {}

    def record(self, event: Event) -> None:
        """Count an event and keep it while there is room."""
        self._sequence += 1
        self._events.append(_Entry(self._sequence, self._now(), event))
        name = f"{event.kind}.{event.what}.{event.outcome}"
        self._totals[name] += 1
        if event.kind == "presented" and event.outcome in DEAD:
            self._dead.setdefault(event.token, DeadToken(event)).presented_by(self._peer)
        if event.open_id:
            self._accounts.setdefault(event.open_id, Counter())[name] += 1
        if event.grant:
            self._grants.setdefault(event.grant, Counter())[name] += 1

    @contextmanager
    def called_by(self, peer: str) -> Iterator[None]:
        """Say whose call it is that records inside; nothing waits inside, so there is one at a time."""
        self._peer = peer
        try:
            yield
        finally:
            self._peer = ""

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
        counters = dict(sorted(self._totals.items()))
        return {
            "events": self._sequence,
            **figures(self._totals),
            "dead_tokens": self._dead_figures(),
            "counters": counters,
        }

    def _dead_figures(self) -> Json:
        refresh = [dead.presented for dead in self._dead.values() if dead.event.what == "refresh"]
        return {
            "refresh_tokens": len(refresh),
            "presented_once": refresh.count(1),
            "presented_twice": refresh.count(2),
            "presented_more": sum(1 for times in refresh if times > 2),
            "most": max(refresh, default=0),
        }

    def dead_tokens(self, open_id: str | None) -> list[Json]:
        """Return every token that was presented after its death, the most presented first."""
        wanted = [dead for dead in self._dead.values() if open_id in (None, dead.event.open_id)]
        return [dead.as_json() for dead in sorted(wanted, key=lambda dead: -dead.presented)]

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
