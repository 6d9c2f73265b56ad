import random
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from services.sync.domain.cron import parse_cron
from tests.sync.cron_walk import MINUTE, Walk, drawn

BERLIN = ZoneInfo("Europe/Berlin")
SPRING, AUTUMN = datetime(2026, 3, 28, 12, tzinfo=UTC), datetime(2026, 10, 24, 12, tzinfo=UTC)


def fires(text: str, start: datetime, end: datetime, zone: ZoneInfo = BERLIN) -> list[datetime]:
    cron, found, moment = parse_cron(text, zone), [], start
    while (moment := cron.next_after(moment)) <= end:
        found.append(moment)
    return found


def utc(text: str) -> datetime:
    return datetime.fromisoformat(f"2026-{text}:00+00:00")


@pytest.mark.parametrize(
    ("text", "days"),
    [
        ("0 1 * * *", ["03-29T00:00", "03-29T23:00", "03-30T23:00"]),
        ("0 2 * * *", ["03-29T01:00", "03-30T00:00", "03-31T00:00"]),
        ("30 2 * * *", ["03-29T01:30", "03-30T00:30", "03-31T00:30"]),
        ("0 3 * * *", ["03-29T01:00", "03-30T01:00", "03-31T01:00"]),
        ("30 */2 29 3 *", ["03-28T23:30", "03-29T01:30", "03-29T02:30"]),
    ],
)
def test_a_day_without_its_hour_still_has_one_run(text: str, days: list[str]) -> None:
    assert fires(text, SPRING, utc("03-31T12:00"))[:3] == [utc(day) for day in days]


@pytest.mark.parametrize(
    ("text", "days"),
    [
        ("0 1 * * *", ["10-24T23:00", "10-26T00:00"]),
        ("0 2 * * *", ["10-25T00:00", "10-26T01:00"]),
        ("30 2 * * *", ["10-25T00:30", "10-26T01:30"]),
        ("0 3 * * *", ["10-25T02:00", "10-26T02:00"]),
    ],
)
def test_a_day_with_an_hour_twice_has_one_run(text: str, days: list[str]) -> None:
    assert fires(text, AUTUMN, utc("10-26T12:00")) == [utc(day) for day in days]


@pytest.mark.parametrize("start", [SPRING, AUTUMN])
def test_every_half_hour_is_half_an_hour_on_all_days(start: datetime) -> None:
    found = fires("*/30 * * * *", start, start + timedelta(days=1))
    assert found == [start + number * 30 * MINUTE for number in range(1, 49)]


@pytest.mark.parametrize("start", [utc("03-28T21:00"), utc("10-24T21:00"), utc("02-28T21:00")])
def test_any_expression_agrees_with_a_walk_over_all_minutes(start: datetime) -> None:
    draw, end, compared = random.Random(20261121), start + timedelta(hours=8), 0
    for _ in range(150):
        text = drawn(draw)
        expected = Walk(text, BERLIN).between(start, end)
        if 0 < len(expected) <= 30:  # more take long and show no more
            assert fires(text, start, end) == expected, text
            assert parse_cron(text, BERLIN).last_until(end) == expected[-1], text
            compared += 1
    assert compared > 20


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("* * * * * *", "five fields.*a minute is the shortest interval"),
        ("61 * * * *", r"field 1 \(minute\): 61 is not within 0-59"),
        ("0 24 * * *", r"field 2 \(hour\): 24"),
        ("@reboot", "five fields"),
        ("*/0 * * * *", r"field 1 \(minute\): the step 0"),
        ("0 0 31 2 *", r"field 3 \(day of month\): no month of field 4 has such a day"),
        ("0 0 31 4,6 *", "no month"),
        ("0 0 * * 8", r"field 5 \(day of week\): 8"),
        ("5-1 * * * *", "runs backwards"),
        ("1,,2 * * * *", "neither a number"),
        ("R * * * *", "not a number"),
        ("-1 * * * *", "neither a number"),
        ("\N{FULLWIDTH DIGIT ZERO} 2 * * *", "five fields"),
        ("0 2 * *", "has 4"),
        ("", "has 0"),
        ("0," * 5_000 + "0 * * * *", "at most 200 characters"),
    ],
)
def test_what_is_no_expression_is_refused_with_its_place(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        parse_cron(text, BERLIN)


def test_names_and_a_sunday_of_seven_are_understood() -> None:
    expected = fires("0 4 * 10 0", AUTUMN, utc("11-02T00:00"))
    assert expected == [utc("10-25T03:00")]
    assert fires("0 4 * oct sun", AUTUMN, utc("11-02T00:00")) == expected
    assert fires("0 4 * 10 7", AUTUMN, utc("11-02T00:00")) == expected
