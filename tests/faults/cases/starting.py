"""Faults at the start: wrong keys, damaged journals, two releases on one database."""

import shutil
from pathlib import Path

from alembic.config import Config
from alembic.script import ScriptDirectory

from libs.settings import EX_CONFIG
from services.token.__main__ import MIGRATIONS
from services.token.adapters.journal.records import read_bodies
from tests.faults.canaries import dump
from tests.faults.case import case, expect
from tests.faults.cases.processes import until_settled
from tests.faults.invariants import ring_of
from tests.faults.lab import Lab
from tests.faults.processes import ServiceProcess

OTHER_KEY = bytes(range(100, 132)).hex()

NEXT_RELEASE = '''
"""What a next release may do while this one runs: add, and take nothing away."""

from alembic import op

revision = "next"
down_revision = "{head}"


def upgrade() -> None:
    op.execute("ALTER TABLE credentials.connections ADD COLUMN colour text")
    op.execute("CREATE TABLE credentials.colours (name text PRIMARY KEY)")
'''


async def refused_start(replica: ServiceProcess) -> tuple[int, list[str]]:
    """Start a process that must not serve; return its exit status and what it said to people."""
    await replica.launch()
    status = await replica.ended()
    return status, [line for line in replica.log.read_text().splitlines() if not line.startswith("{")]


async def stays_out(lab: Lab, name: str, **environ: str) -> str:
    """Start a process that is set up wrongly; return what it said, having seen that it wrote nothing."""
    before = dump(lab.dsn)
    status, said = await refused_start(lab.prepared(name, **environ))
    expect((status, len(said)) == (EX_CONFIG, 1), f"{name}: status {status}, said {said}")
    expect(data(before) == data(dump(lab.dsn)), f"{name}: the database was written to")
    return said[0]


def data(dumped: bytes) -> list[bytes]:
    """Return the rows of a dump, without the markers that differ from dump to dump."""
    return [line for line in dumped.splitlines() if not line.startswith((b"\\restrict", b"\\unrestrict"))]


@case(
    "P13",
    fault="started with another key, without a key, with an unknown key in the journal, with a file for a directory",
    expected="exit 78 and one clear line each; nothing written; the right key starts and serves",
)
async def started_wrongly(lab: Lab) -> str:
    replica = await lab.replica()
    await lab.connect(replica, "shop-1")
    await replica.kill()
    blocked = lab.directory / "a-file"
    blocked.touch()
    lines = [
        await stays_out(lab, "other-key", TOKEN_ENC_KEY=OTHER_KEY),
        await stays_out(lab, "no-key", TOKEN_ENC_KEY=""),
        await stays_out(lab, "lacking-key", TOKEN_ENC_KEY="", TOKEN_ENC_KEYS=f"k9:{OTHER_KEY}"),
        await stays_out(lab, "no-directory", JOURNAL_DIR=str(blocked)),
    ]
    found = await (await lab.replica("right")).ask("shop-1")
    expect(found.fresh, found)
    return (
        f"{len(lines)} times 78 ({'; '.join(line.rpartition('start: ')[2][:60] for line in lines)} ...), then {found}"
    )


def next_release(directory: Path) -> Path:
    """Return this release's migrations with one more behind them."""
    shutil.copytree(MIGRATIONS, directory, ignore=shutil.ignore_patterns("__pycache__"))
    configuration = Config()
    configuration.set_main_option("script_location", str(MIGRATIONS))
    head = ScriptDirectory.from_config(configuration).get_current_head()
    (directory / "versions" / "next.py").write_text(NEXT_RELEASE.format(head=head).lstrip())
    return directory


@case(
    "P14",
    fault="this release and the next, with a migration, on one database; this one killed during a refresh",
    expected="no errors from either; the next one takes over; this one, started again, says what to do",
)
async def two_releases_at_once(lab: Lab) -> str:
    old = await lab.replica("old", fail="before_commit=kill9@2")
    await lab.connect(old, "shop-1", "shop-2", "shop-3")
    migrations = next_release(lab.directory / "migrations")
    new = await lab.replica("new", MIGRATIONS_DIR=str(migrations))
    await lab.expire()
    both = [await old.ask("shop-1"), await new.ask("shop-2")]
    await old.ask("shop-3")
    await old.ended()
    heir = await lab.replica("heir", MIGRATIONS_DIR=str(migrations))
    both += [await until_settled(heir, code) for code in lab.accounts]
    status, said = await refused_start(lab.prepared("old-again"))
    lab.replicas.append(lab.replicas.pop(0))
    expect({str(one) for one in both} == {"FRESH 2"}, [str(one) for one in both])
    expect(status == EX_CONFIG and "git pull" in said[-1], (status, said))
    return f"{len(both)} x FRESH 2; the old release again: exit {status}, {said[-1][-70:]}"


@case(
    "P15 torn",
    fault="kill -9 in the middle of a journal append: the last record cut at every byte",
    expected="the record that was never whole is ignored, all before it are there, the process starts",
)
async def torn_tail(lab: Lab) -> str:
    lab.allowed.lost.add("shop-2")
    lab.allowed.repeats = 1
    path = await journal_of_a_dead_process(lab)
    whole, ring = path.read_bytes(), ring_of(lab)
    bodies = len(list(read_bodies(path, ring)))
    shortest = whole_without_last(path, whole, bodies, lab)
    for length in range(shortest, len(whole)):
        path.write_bytes(whole[:length])
        expect(len(list(read_bodies(path, ring))) == bodies - 1, f"cut at byte {length}")
    heir = await lab.replica("heir")
    found = [await until_settled(heir, code) for code in ("shop-1", "shop-2")]
    expect([str(one) for one in found] == ["FRESH 2", "REAUTH_REQUIRED lost_response"], found)
    return f"{len(whole) - shortest} cuts of a record; {found[0]}, {found[1]}"


async def journal_of_a_dead_process(lab: Lab) -> Path:
    """Return the journal of a process that died with two rotations in it and neither in the database."""
    victim = await lab.replica("victim", fail="before_commit=hold@0")
    await lab.connect(victim, "shop-1", "shop-2")
    await lab.expire()
    await victim.ask("shop-1")
    await victim.ask("shop-2")
    await victim.kill()
    return next(lab.journal.glob("*.journal"))


def whole_without_last(path: Path, whole: bytes, bodies: int, lab: Lab) -> int:
    """Return the length of a journal without its last record."""
    for length in range(len(whole) - 1, 0, -1):
        path.write_bytes(whole[:length])
        if len(list(read_bodies(path, ring_of(lab)))) < bodies - 1:
            return length + 1
    return 0


@case(
    "P15 middle",
    fault="a byte in the middle of a journal changed",
    expected="the process stops with status 78 and a line that names the file; nothing is written; mended, it serves",
)
async def corrupt_middle(lab: Lab) -> str:
    path = await journal_of_a_dead_process(lab)
    whole = path.read_bytes()
    middle = len(whole) // 2
    path.write_bytes(whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :])
    said = await stays_out(lab, "heir")
    expect(path.name in said, said)
    path.write_bytes(whole)
    found = [await until_settled(await lab.replica("later"), code) for code in ("shop-1",)]
    expect([str(one) for one in found] == ["FRESH 2"], found)
    return f"{said[-90:]}; then {found[0]}"
