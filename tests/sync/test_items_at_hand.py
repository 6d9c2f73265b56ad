from libs.clock import SystemClock
from services.sync.adapters.queued_jobs import Intake
from services.sync.adapters.stock import Look, Stock

USER, VIDEO, SHARED = "user", "video", "user/together"


class Hands(SystemClock):
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def monotonic(self) -> float:
        return self.seconds


class AtHand:
    """A stock for 10 calls of a kind."""

    def __init__(self, **intakes: Intake) -> None:
        self.clock = Hands()
        self.stock = Stock(intakes, self.clock)

    def leave(self, name: str, items: int, *, seconds: float) -> None:
        for _ in range(items):
            self.clock.seconds += seconds / items
            self.stock.leave(name)


def test_a_kind_is_looked_for_once_half_of_its_items_have_left() -> None:
    here = AtHand(user=Intake(10))
    here.stock.arrive(USER, 40)
    here.leave(USER, 19, seconds=100)
    assert here.stock.wanted() == []
    here.leave(USER, 1, seconds=100)
    assert here.stock.wanted() == [Look([USER], 20)]


def test_items_with_short_calls_are_taken_further_ahead() -> None:
    here = AtHand(user=Intake(10))
    here.stock.arrive(USER, 240)
    here.leave(USER, 200, seconds=1)
    ((_, jobs),) = [(look.names, look.jobs) for look in here.stock.wanted()]
    assert 70 <= jobs <= 80


def test_what_was_fast_once_is_not_taken_far_ahead_for_ever() -> None:
    here = AtHand(user=Intake(10))
    here.stock.arrive(USER, 240)
    here.leave(USER, 200, seconds=1)
    here.clock.seconds += 60
    assert here.stock.wanted() == []


def test_jobs_that_bring_many_items_are_taken_in_smaller_numbers() -> None:
    here = AtHand(**{SHARED: Intake(10, items=10)})
    assert here.stock.wanted() == [Look([SHARED], 4)]


def test_a_kind_with_few_places_takes_a_job_whatever_it_brings() -> None:
    here = AtHand(**{SHARED: Intake(1, items=10)})
    assert here.stock.wanted() == [Look([SHARED], 1)]


def test_an_empty_queue_is_left_alone_for_a_moment() -> None:
    here = AtHand(user=Intake(10), video=Intake(10))
    (look,) = here.stock.wanted()
    here.stock.note(look, [VIDEO], look.jobs)
    assert here.stock.wanted() == [Look([VIDEO], 40)]
    here.clock.seconds += 1
    assert here.stock.wanted() == [Look([USER, VIDEO], 40)]
