from dataclasses import replace

from tests.soak.figures import Slope
from tests.soak.meters import Use
from tests.soak.report import row

SHORT = Use(
    name="token-a", seconds=10, memory=None, last_half=None, descriptors=None, most_memory=150, most_descriptors=50
)
RISING = Slope(hourly=2.0, least=1.0, most=3.0)
LONG = replace(SHORT, seconds=700, memory=RISING, last_half=RISING, descriptors=RISING, most_memory=140)


def test_a_process_of_many_lives_has_the_slopes_of_its_longest_and_the_most_of_all() -> None:
    slope = "+2.0 (+1.0 to +3.0)"
    assert row("token-a", [SHORT, LONG]) == f"| token-a | 2 | 700 | {slope} | {slope} | {slope} | 150 | 50 |"


def test_slopes_of_short_lives_are_not_told() -> None:
    assert row("token-a", [SHORT]) == "| token-a | 1 | 10 | too short | too short | too short | 150 | 50 |"
