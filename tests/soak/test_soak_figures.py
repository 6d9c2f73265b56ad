import random

import pytest

from tests.soak.figures import most_likely, percentile, slope
from tests.soak.meters import Reading


def test_no_loss_of_many_still_proves_little_of_few() -> None:
    assert most_likely(0, 3_000) == pytest.approx(0.001)
    assert most_likely(0, 0) == 1.0
    assert most_likely(4, 100) == pytest.approx(0.0792)


def test_a_percentile_is_a_value_that_was_seen() -> None:
    values = [float(number) for number in range(1, 101)]
    assert [percentile(values, share) for share in (0.0, 0.5, 0.99, 1.0)] == [1, 50, 99, 100]


def test_a_leak_lies_within_its_interval_and_noise_has_none() -> None:
    noise = random.Random(3)
    seconds = [5.0 * number for number in range(200)]
    leaking = slope(seconds, [100 + at * 36 / 3600 + noise.gauss(0, 1) for at in seconds])
    still = slope(seconds, [100 + noise.gauss(0, 1) for _ in seconds])
    assert leaking is not None
    assert still is not None
    assert 0 < leaking.least < 36 < leaking.most
    assert still.least < 0 < still.most


def test_what_fills_up_is_flat_in_its_last_half() -> None:
    seconds = [5.0 * number for number in range(200)]
    filling = Reading("token-a", 1, at=seconds, memory=[min(100 + at / 10, 150) for at in seconds])
    whole, last = filling.slope(filling.memory, 0), filling.slope(filling.memory, filling.seconds / 2)
    assert whole is not None
    assert last is not None
    assert whole.least > 0
    assert last.hourly == pytest.approx(0)


def test_a_wandering_line_is_not_taken_for_a_slope() -> None:
    steps, noise, value = [], random.Random(3), 100.0
    for _ in range(200):
        value += noise.gauss(0, 1)
        steps.append(value)
    wandering = slope([5.0 * number for number in range(200)], steps)
    assert wandering is not None
    plain = slope([5.0 * number for number in range(200)], random.Random(1).sample(steps, 200))
    assert plain is not None
    assert wandering.most - wandering.least > plain.most - plain.least


def test_few_points_have_no_slope() -> None:
    assert slope([1.0, 2.0], [1.0, 2.0]) is None
