from datetime import UTC, datetime, timedelta

import pytest

from libs.client.cache import LATE, TokenCache
from libs.client.token import Reference, Token
from libs.clock import SystemClock
from libs.secret import Secret

STORE, OTHER = Reference.of_store("one"), Reference.of_store("two")
NOW = datetime(2026, 1, 1, tzinfo=UTC)


class StoppedClock(SystemClock):
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def now(self) -> datetime:
        return NOW + timedelta(seconds=self.seconds)

    def monotonic(self) -> float:
        return self.seconds


class Listening:
    """A cache whose stream of events began long enough ago."""

    def __init__(self, most: int = 10) -> None:
        self.clock = StoppedClock()
        self.cache = TokenCache(clock=self.clock, most=most)
        self.cache.begin()
        self.later(LATE)

    def later(self, seconds: float, *, heard: bool = True) -> None:
        self.clock.seconds += seconds
        if heard:
            self.cache.heard(self.clock.seconds)

    def keep(
        self, reference: Reference = STORE, *, life: float = 3600, connection: str = "c1", fresh: bool = True
    ) -> Token:
        token = Token(
            access_token=Secret("CNRYsecret"),
            expires=self.clock.now() + timedelta(seconds=life),
            generation=1,
            fresh=fresh,
            connection_id=connection,
            account_id="a",
            scopes=frozenset(),
        )
        self.cache.keep(reference, token, self.clock.monotonic())
        return token


@pytest.fixture
def listening() -> Listening:
    return Listening()


def test_what_is_not_fresh_serves_no_smaller_wish(listening: Listening) -> None:
    listening.keep(life=120, fresh=False)
    assert listening.cache.get(STORE, 10) is None


def test_a_kept_token_is_served_while_events_are_heard(listening: Listening) -> None:
    token = listening.keep()
    listening.later(1000)
    assert listening.cache.get(STORE, 60) == token


def test_silence_is_trusted_for_two_seconds(listening: Listening) -> None:
    token = listening.keep()
    listening.later(2.0, heard=False)
    assert listening.cache.get(STORE, 60) == token
    listening.later(0.01, heard=False)
    assert listening.cache.get(STORE, 60) is None


def test_a_token_is_served_while_it_lasts_as_asked(listening: Listening) -> None:
    listening.keep(life=100)
    assert listening.cache.get(STORE, 100) is not None
    assert listening.cache.get(STORE, 101) is None


def test_what_changes_is_dropped_and_not_kept_at_once(listening: Listening) -> None:
    listening.keep()
    listening.cache.changed("c1")
    assert listening.cache.get(STORE, 60) is None
    listening.later(LATE - 0.01)
    listening.keep()
    assert listening.cache.get(STORE, 60) is None
    listening.later(0.01)
    listening.keep()
    assert listening.cache.get(STORE, 60) is not None


def test_a_change_leaves_other_connections_alone(listening: Listening) -> None:
    listening.keep()
    listening.keep(OTHER, connection="c2")
    listening.cache.changed("c1")
    assert listening.cache.get(OTHER, 60) is not None


def test_all_names_of_a_connection_are_dropped(listening: Listening) -> None:
    listening.keep()
    listening.keep(Reference.of_connection("c1"))
    listening.cache.changed("c1")
    assert listening.cache.get(Reference.of_connection("c1"), 60) is None


def test_a_new_stream_forgets_what_the_old_one_knew(listening: Listening) -> None:
    listening.keep()
    listening.cache.begin()
    assert listening.cache.get(STORE, 60) is None
    listening.keep()
    assert listening.cache.get(STORE, 60) is None


def test_nothing_is_kept_before_events_are_heard() -> None:
    unheard = Listening()
    unheard.cache = TokenCache(clock=unheard.clock, most=10)
    unheard.keep()
    unheard.cache.heard(unheard.clock.seconds)
    assert unheard.cache.get(STORE, 60) is None


def test_the_token_asked_for_longest_ago_makes_room() -> None:
    small = Listening(most=2)
    names = [Reference.of_store(str(number)) for number in range(3)]
    for number, name in enumerate(names[:2]):
        small.keep(name, connection=f"c{number}")
    small.cache.get(names[0], 60)
    small.keep(names[2], connection="c2")
    assert [small.cache.get(name, 60) is not None for name in names] == [True, False, True]


def test_only_the_rejected_generation_is_dropped(listening: Listening) -> None:
    listening.keep()
    listening.cache.reject(STORE, 2)
    assert listening.cache.get(STORE, 60) is not None
    listening.cache.reject(STORE, 1)
    assert listening.cache.get(STORE, 60) is None
