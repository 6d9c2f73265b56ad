"""A consent link is ours, for one owner, one browser, and a while."""

from datetime import UTC, datetime, timedelta

import pytest

from libs.errors import StateExpired, StateInvalid
from libs.secret import Secret
from services.token.core.state import SKEW, States
from tests.token.conftest import store
from tests.token.counting_provider import QuickClock

LIFETIME = timedelta(minutes=10)
SECRET = Secret("a secret of the house")
BEGIN = datetime(2026, 11, 21, 8, 0, tzinfo=UTC)


class SetClock(QuickClock):
    def __init__(self, moment: datetime) -> None:
        self.moment = moment

    def now(self) -> datetime:
        return self.moment


def states(moment: datetime = BEGIN, *accepted: Secret, redirect_uri: str = "https://shop.example/back") -> States:
    return States(secrets=accepted or [SECRET], redirect_uri=redirect_uri, clock=SetClock(moment), lifetime=LIFETIME)


def test_a_state_says_what_was_written() -> None:
    link = states().new(store("shop-1"), 7, "nonce")

    assert link == states().read(states().write(link), "nonce")


def test_no_character_of_a_state_can_be_changed() -> None:
    written = states().write(states().new(store("shop-1"), 1, ""))

    for position, character in enumerate(written):
        other = "A" if character != "A" else "B"
        with pytest.raises(StateInvalid):
            states().read(written[:position] + other + written[position + 1 :], "")


@pytest.mark.parametrize("state", ["", ".", "x", "e30.", "é.é", "a" * 2048, "e30.e30", ".e30"])
def test_what_is_no_state_is_invalid(state: str) -> None:
    with pytest.raises(StateInvalid):
        states().read(state, "")


def test_a_state_of_another_secret_is_invalid() -> None:
    written = states(BEGIN, Secret("another")).write(states().new(store("shop-1"), 1, ""))

    with pytest.raises(StateInvalid):
        states().read(written, "")


def test_a_state_for_another_redirect_is_invalid() -> None:
    written = states(redirect_uri="https://old.example/back").write(states().new(store("shop-1"), 1, ""))

    with pytest.raises(StateInvalid):
        states().read(written, "")


def test_a_link_outlives_the_change_of_the_secret() -> None:
    link = states().new(store("shop-1"), 1, "")
    changed = states(BEGIN, Secret("the next one"), SECRET)

    assert changed.read(states().write(link), "") == link
    with pytest.raises(StateInvalid):
        states().read(changed.write(changed.new(store("shop-1"), 1, "")), "")


@pytest.mark.parametrize("nonce", ["", "another nonce"])
def test_another_browser_cannot_use_a_bound_link(nonce: str) -> None:
    written = states().write(states().new(store("shop-1"), 1, "nonce"))

    with pytest.raises(StateInvalid):
        states().read(written, nonce)


def test_any_browser_can_use_an_unbound_link() -> None:
    link = states().new(store("shop-1"), 1, "")

    assert link == states().read(states().write(link), "whatever it has")


def test_a_state_lives_until_its_end_and_no_longer() -> None:
    written = states().write(states().new(store("shop-1"), 1, ""))

    assert states(BEGIN + LIFETIME).read(written, "").target == store("shop-1")
    with pytest.raises(StateExpired):
        states(BEGIN + LIFETIME + SKEW + timedelta(seconds=1)).read(written, "")


def test_a_state_does_not_hold_the_browsers_nonce() -> None:
    assert "nonce-of-the-browser" not in states().write(states().new(store("shop-1"), 1, "nonce-of-the-browser"))


def test_every_link_has_a_verifier_of_its_own_and_every_replica_knows_it() -> None:
    one, two = (states().new(store("shop-1"), 1, "") for _ in range(2))

    assert states().read(states().write(one), "").verifier == one.verifier
    assert one.verifier != two.verifier
    assert len(one.verifier) == 43
