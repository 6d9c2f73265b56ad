"""A consent link is ours, for one owner, one browser, and a while."""

from datetime import UTC, datetime, timedelta

import pytest

from libs.errors import InvalidField, StateExpired, StateInvalid
from libs.secret import Secret
from services.token.core.state import SKEW, Link, States, Terms
from tests.token.conftest import store

LIFETIME = timedelta(minutes=10)
SECRET = Secret("a secret of the house")
BEGIN = datetime(2026, 11, 21, 8, 0, tzinfo=UTC)


def states(*accepted: Secret, redirect_uri: str = "https://shop.example/back") -> States:
    return States(secrets=accepted or [SECRET], redirect_uri=redirect_uri, lifetime=LIFETIME)


def link_for(nonce: str = "") -> Link:
    return states().new(store("shop-1"), 1, nonce, BEGIN)


def test_a_state_says_what_was_written() -> None:
    link = states().new(store("shop-1"), 7, "nonce", BEGIN)

    assert link == states().read(states().write(link), "nonce")


def test_no_character_of_a_state_can_be_changed() -> None:
    written = states().write(link_for())

    for position, character in enumerate(written):
        other = "A" if character != "A" else "B"
        with pytest.raises(StateInvalid):
            states().read(written[:position] + other + written[position + 1 :], "")


@pytest.mark.parametrize("state", ["", ".", "x", "e30.", "é.é", "a" * 2048, "e30.e30", ".e30"])
def test_what_is_no_state_is_invalid(state: str) -> None:
    with pytest.raises(StateInvalid):
        states().read(state, "")


def test_a_state_of_another_secret_is_invalid() -> None:
    written = states(Secret("another")).write(link_for())

    with pytest.raises(StateInvalid):
        states().read(written, "")


def test_a_state_for_another_redirect_is_invalid() -> None:
    written = states(redirect_uri="https://old.example/back").write(link_for())

    with pytest.raises(StateInvalid):
        states().read(written, "")


def test_a_link_outlives_the_change_of_the_secret() -> None:
    link = link_for()
    changed = states(Secret("the next one"), SECRET)

    assert changed.read(states().write(link), "") == link
    with pytest.raises(StateInvalid):
        states().read(changed.write(changed.new(store("shop-1"), 1, "", BEGIN)), "")


@pytest.mark.parametrize("nonce", ["", "another nonce"])
def test_another_browser_cannot_use_a_bound_link(nonce: str) -> None:
    written = states().write(link_for("nonce"))

    with pytest.raises(StateInvalid):
        states().read(written, nonce)


def test_any_browser_can_use_an_unbound_link() -> None:
    link = link_for()

    assert link == states().read(states().write(link), "whatever it has")


def test_a_link_lives_until_its_end_and_no_longer() -> None:
    link = states().read(states().write(link_for()), "")

    link.require_live(BEGIN + LIFETIME + SKEW)
    with pytest.raises(StateExpired):
        link.require_live(BEGIN + LIFETIME + SKEW + timedelta(seconds=1))


def test_a_link_of_the_future_is_invalid() -> None:
    link = states().read(states().write(link_for()), "")

    link.require_live(BEGIN - SKEW)
    with pytest.raises(StateInvalid):
        link.require_live(BEGIN - SKEW - timedelta(seconds=1))


def test_a_state_does_not_hold_the_browsers_nonce() -> None:
    assert "nonce-of-the-browser" not in states().write(link_for("nonce-of-the-browser"))


def test_every_link_has_a_verifier_of_its_own_and_every_replica_knows_it() -> None:
    one, two = (link_for() for _ in range(2))

    assert states().read(states().write(one), "").verifier == one.verifier
    assert one.verifier != two.verifier
    assert len(one.verifier) == 43


def test_a_link_leads_back_only_where_it_may() -> None:
    page = "https://app.example/settings"
    some = States(secrets=[SECRET], redirect_uri="https://shop.example/back", lifetime=LIFETIME, allowed=[page])

    link = some.new(store("shop-1"), 1, "", BEGIN, Terms(redirect_uri=page))

    assert some.read(some.write(link), "").redirect_uri == page
    assert some.new(store("shop-1"), 1, "", BEGIN, Terms(redirect_uri="https://shop.example/back")).redirect_uri == ""
    for wrong in (f"{page}/", f"{page}?x", "https://evil.example"):
        with pytest.raises(InvalidField, match="redirect_uri"):
            some.new(store("shop-1"), 1, "", BEGIN, Terms(redirect_uri=wrong))
