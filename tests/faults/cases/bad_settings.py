"""Faults of settings: times that are none, days on which clocks change, keys that seal nothing."""

import base64
import random
import re
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from itertools import cycle
from pathlib import Path
from zoneinfo import ZoneInfo

from tokhub.sync.v1 import sync_pb2

from libs.secret import Secret
from libs.settings import EX_CONFIG, WrongSetting, parse
from libs.vault.ring import WrongKeys, parse_keys
from services.sync.domain.cron import parse_cron
from services.sync.settings import SyncSettings
from tests.faults.canaries import dump
from tests.faults.case import case, expect
from tests.faults.cases.starting import OTHER_KEY, data, refused_start
from tests.faults.lab import Lab
from tests.faults.processes import ROOT
from tests.faults.runs import until_true
from tests.sync.cron_walk import Walk, drawn
from tests.token.token_process import KEY_HEX

# A time that is none, and what its refusal says.
WRONG_TIMES: Mapping[str, str] = {
    "61 * * * *": "field 1 (minute): 61 is not within 0-59",
    "* * * * * *": "must have the five fields",
    "@reboot": "must have the five fields",
    "@every 1s": "must have the five fields",
    "*/0 * * * *": "field 1 (minute): the step 0",
    "* * 31 2 *": "field 3 (day of month): no month of field 4 has such a day",
    "0 25 * * *": "field 2 (hour): 25",
    "0 0 0 * *": "field 3 (day of month): 0",
    "0 0 * 13 *": "field 4 (month): 13",
    "0 0 * * mon-sun-tue": "field 5 (day of week)",
    "5-1 * * * *": "field 1 (minute): the range 5-1 runs backwards",
    "1,,2 * * * *": "field 1 (minute)",
    "9" * 150 + " * * * *": "field 1 (minute)",
    "* " * 5_000: "at most 200 characters",
    "\u0663 * * * *": "must have the five fields",
    "L * * * *": "field 1 (minute)",
    "0 0 1W * *": "field 3 (day of month)",
    "H H * * *": "field 1 (minute)",
    "0 2 * *": "has 4",
}
VARIABLES = ("CRON_TOKEN_REFRESH", "CRON_SYNC_USER_DAILY", "CRON_SYNC_VIDEO_DAILY")
WRONG_ZONES = (
    "Mars/Olympus",
    "../../etc/passwd",
    "/etc/localtime",
    "UTC+25",
    "Europe",
    "Europe/Berlin\n",
    "a" * 10_000,
)
# Changes by one hour, by half of one, by two, at midnight, twice a year around Ramadan, and never.
ZONES = (
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",
    "Antarctica/Troll",
    "America/Santiago",
    "Africa/Casablanca",
    "Asia/Kolkata",
)
HOUR = timedelta(hours=1)
BEGIN = datetime(2026, 11, 1, tzinfo=UTC)
LONGEST = 100  # times in a few hours; more take long and show no more


@case(
    "B06",
    fault="cron expressions and time zones that are none; expressions of any shape around every change of clocks",
    expected="exit 78 and the variable, field and reason in one line; times as a walk over all minutes finds them",
)
async def times(lab: Lab) -> str:
    await lab.replica()
    lines = [
        refused_time(variable, text, says) for variable, (text, says) in zip(cycle(VARIABLES), WRONG_TIMES.items())
    ]
    zones = [refused_setting("TZ", zone) for zone in WRONG_ZONES]
    for name, wrong in {"CRON_TOKEN_REFRESH": "61 * * * *", "TZ": WRONG_ZONES[0]}.items():
        status, said = await refused_start(lab.prepared_sync(f"wrong-{name}", **{name: wrong}))
        expect((status, len(said)) == (EX_CONFIG, 1) and f"cannot start: {name}: " in said[0], (status, said))
        lab.syncs.clear()
    compared = sum(agreed(zone) for zone in ZONES)
    leap = parse_cron("0 0 29 2 *", ZoneInfo("UTC")).next_after(BEGIN)
    expect(leap == datetime(2028, 2, 29, tzinfo=UTC), leap)
    shown = await shown_times(lab, "Australia/Lord_Howe", "15 2 * * 0", "*/7 */5 1,15 * *", "0 2 1 2,3 *")
    return (
        f"{len(lines)} times and {len(zones)} zones refused, as {lines[0]!r}; "
        f"{compared} expressions agree in {len(ZONES)} zones; the service shows {shown}"
    )


def refused_time(variable: str, text: str, says: str) -> str:
    """Return how a time is refused, which names the place in it."""
    line = refused_setting(variable, text)
    expect(says in line, f"{text[:40]!r}: {line}")
    return line


def refused_setting(variable: str, text: str) -> str:
    """Return how a setting is refused, in one line of sensible length that names it."""
    try:
        parse(SyncSettings, {"DATABASE_URL": "postgresql://", variable: text})
    except WrongSetting as error:
        line = str(error)
        expect(line.startswith(f"{variable}: ") and len(line) < 300 and "\n" not in line, line[:400])
        return line
    expect(False, f"{variable}={text[:40]!r} was taken")
    raise AssertionError


def agreed(zone: str) -> int:
    """Compare expressions with the walk around every change of clocks in two years; return how many were compared."""
    draw, compared = random.Random(zone), 0
    for start in (*changes(ZoneInfo(zone)), BEGIN):
        for _ in range(25):
            text, end = drawn(draw), start + 8 * HOUR
            expected = Walk(text, ZoneInfo(zone)).between(start, end)
            if not 0 < len(expected) <= LONGEST:
                continue
            found = list(fires(text, zone, start, end))
            expect(found == expected, f"{text} in {zone} behind {start}: {found}, not {expected}")
            compared += 1
    return compared


def changes(zone: ZoneInfo) -> Iterator[datetime]:
    """Yield four hours before each change of a zone's clocks."""
    for number in range(2 * 365 * 24):
        moment = BEGIN + number * HOUR
        if moment.astimezone(zone).utcoffset() != (moment + HOUR).astimezone(zone).utcoffset():
            yield moment - 4 * HOUR


def fires(text: str, zone: str, start: datetime, end: datetime) -> Iterator[datetime]:
    """Yield the times of an expression behind the start until the end."""
    cron = parse_cron(text, ZoneInfo(zone))
    while (start := cron.next_after(start)) <= end:
        yield start


async def shown_times(lab: Lab, zone: str, *texts: str) -> str:
    """Expect that a service tells the next times as the walk finds them; return the first."""
    settings = dict(zip(VARIABLES, texts, strict=True))
    sync = await lab.sync("right", CRON_ENABLED="1", TZ=zone, **settings)
    now = datetime.now(UTC).replace(second=0, microsecond=0)
    jobs = (await sync.client.runs.GetSchedule(sync_pb2.GetScheduleRequest())).jobs
    shown = {job.schedule: job.next_run_time.ToDatetime(UTC) for job in jobs}
    expected = {text: next_by_walk(text, zone, now) for text in texts}
    expect(shown == expected, f"{shown}, not {expected}")
    return f"{texts[0]} in {zone} as {shown[texts[0]]:%Y-%m-%dT%H:%MZ}"


def next_by_walk(text: str, zone: str, start: datetime) -> datetime:
    """Return the first time behind a moment."""
    walk = Walk(text, ZoneInfo(zone))
    while not (found := walk.between(start, start + 240 * HOUR)):
        start += 240 * HOUR
    return found[0]


@case(
    "B06 days",
    fault="the hour of a daily job comes twice on one day and not at all on another",
    expected="one run on each of these days, and one on the days behind them; a job of every hour runs in both",
)
async def changed_days(lab: Lab) -> str:
    await lab.replica()
    file = lab.directory / "clock"
    set_clock(file, "2026-10-25T00:20")
    times = {
        "CRON_TOKEN_REFRESH": "35 * * * *",
        "CRON_SYNC_USER_DAILY": "30 2 * * *",
        "CRON_SYNC_VIDEO_DAILY": "0 0 1 1 *",
    }
    await lab.sync(CRON_ENABLED="1", TZ="Europe/Berlin", CLOCK_OFFSET_FILE=str(file), **times)
    await until_true(lab, "a look at the schedules", "SELECT count(*) = 3 FROM reporting.schedules")
    for hour in ("2026-10-25T00", "2026-10-25T01", "2026-10-26T01", "2027-03-28T01", "2027-03-29T00"):
        set_clock(file, f"{hour}:36")
        await until_true(lab, f"a run at {hour}:35", FIRED, "refresh_tokens", utc(f"{hour}:35"))
    await until_true(lab, "the last daily run", FIRED, "sync_user_daily", utc("2027-03-29T00:30"))
    rows = await lab.sql(
        "SELECT fire_at FROM reporting.schedule_fires "
        "WHERE schedule = 'sync_user_daily' AND outcome = 'STARTED' ORDER BY 1"
    )
    found = [f"{row['fire_at']:%m-%dT%H:%MZ}" for row in rows]
    expect(found == ["10-25T00:30Z", "10-26T01:30Z", "03-28T01:30Z", "03-29T00:30Z"], found)
    return f"02:30 in Berlin ran at {', '.join(found)}"


FIRED = """
SELECT EXISTS (
    SELECT FROM reporting.schedule_fires WHERE schedule = $1 AND fire_at = $2 AND outcome = 'STARTED')
"""


def utc(text: str) -> datetime:
    """Return a moment."""
    return datetime.fromisoformat(f"{text}:00+00:00")


def set_clock(file: Path, text: str) -> None:
    """Let the clock of a service show a moment."""
    file.write_text(f"{utc(text).timestamp() - time.time()}")


WRONG_KEYS: Mapping[str, str] = {
    "63 digits": KEY_HEX[:-1],
    "65 digits": f"{KEY_HEX}0",
    "not hexadecimal": f"g{KEY_HEX[1:]}",
    "with a line break": f"{KEY_HEX}\n",
    "with a space": f" {KEY_HEX}",
    "with 0x": f"0x{KEY_HEX[2:]}",
    "in Base64": base64.b64encode(bytes.fromhex(KEY_HEX)).decode(),
    "foreign digits": f"\uff10{KEY_HEX[1:]}",
    "all zero": "0" * 64,
    "one byte over and over": "a7" * 32,
    "another one": OTHER_KEY,
}
WRONG_RINGS: Mapping[str, str] = {
    "an id twice": f"k1:{KEY_HEX},k1:{OTHER_KEY}",
    "a key twice": f"k1:{KEY_HEX},k2:{KEY_HEX.upper()}",
    "no id": f":{KEY_HEX}",
    "an entry without a key": f"default:{KEY_HEX},",
    "a space between": f"default:{KEY_HEX}, k2:{OTHER_KEY}",
    "the active one is missing": f"k9:{OTHER_KEY}",
}


@case(
    "B07",
    fault="started with keys of 63 and 65 digits, no digits, all zero, twice, with line breaks, without the active one",
    expected="exit 78, one line that repeats no part of a key, nothing written; the right key from a file serves",
)
async def keys(lab: Lab) -> str:
    replica = await lab.replica()
    await lab.connect(replica, "shop-1")
    await replica.kill()
    given = [
        *({"TOKEN_ENC_KEY": text} for text in WRONG_KEYS.values()),
        *({"TOKEN_ENC_KEYS": text} for text in WRONG_RINGS.values()),
        {"TOKEN_ENC_KEY": KEY_HEX, "TOKEN_ENC_KEYS": f"default:{KEY_HEX}"},
    ]
    before = data(dump(lab.dsn))
    lines = [await refused_keys(lab, one) for one in given]
    expect(data(dump(lab.dsn)) == before, "the database was written to")
    samples = [refused_sample(text) for text in printed_keys()]
    heir = await served_from_a_file(lab)
    return f"{len(lines)} starts refused, as {lines[0]!r}; {len(samples)} samples in the documents; then {heir}"


async def refused_keys(lab: Lab, given: Mapping[str, str]) -> str:
    """Start a process with keys in its environment; return what it said, which repeats none of them."""
    process = lab.prepared("wrong")
    process.environ = {name: value for name, value in process.environ.items() if "ENC_KEY" not in name} | dict(given)
    process.log.unlink(missing_ok=True)
    status, said = await refused_start(process)
    expect((status, len(said)) == (EX_CONFIG, 1), (status, said))
    lab.replicas.remove(process)
    left = process.log.read_text().lower()
    for key in re.findall("[0-9a-zA-Z+/]{40,}", " ".join(given.values())):
        pieces = {key[begin : begin + 8].lower() for begin in range(0, len(key) - 8, 4)} - {"0" * 8}
        expect(not any(piece in left for piece in pieces), f"a key of {len(key)} characters is repeated")
    return said[0].partition("cannot start: ")[2]


def printed_keys() -> Iterator[str]:
    """Yield what looks like a key in what people read; a number before it makes it a checkpoint of the audit trail."""
    for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob(".env*")):
        yield from re.findall(r"(?:^|[^\w:]|\b[A-Za-z]\w*:)([0-9a-fA-F]{64})\b", path.read_text(encoding="utf-8"))


def refused_sample(text: str) -> str:
    """Expect that a key which everybody can read is not taken."""
    try:
        parse_keys(Secret(text), None)
    except WrongKeys as error:
        return str(error)
    expect(False, "a key that is printed in the documents is taken")
    raise AssertionError


async def served_from_a_file(lab: Lab) -> str:
    """Start with the right key in a file as `openssl` writes it, with a line break; return what it serves."""
    replica = lab.prepared("right")
    with (replica.directory / "secrets" / "TOKEN_ENC_KEY").open("a") as file:
        file.write("\n")
    await replica.start()
    found = await replica.ask("shop-1")
    expect(found.fresh, found)
    return str(found)
