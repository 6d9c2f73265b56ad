from pathlib import Path

from benchmarks.document import page
from benchmarks.figures import Figure, at_least, at_most
from benchmarks.plots import growth, rates, share
from benchmarks.proofs import keep, links
from benchmarks.report import circumstances
from benchmarks.results import Result, read, write

READS = Figure(name="reads", unit="calls/s", rounds=[90, 80, 100], floor="empty", floors=[100] * 3, limit=at_least(0.6))
SIZES = {"3,000": 150.0, "10,000": 160.0}
COST = Figure(name="cost", unit="ms", rounds=[5.0], floor="bare", floors=[2.0], limit=at_most(2.0))


def measured(path: Path, name: str, *figures: Figure) -> None:
    write(path, name, Result(question=f"What of {name}?", **circumstances(), seconds=9, figures=figures))


def test_a_measurement_is_kept_beside_the_others(tmp_path: Path) -> None:
    path = tmp_path / "build" / "bench.json"
    measured(path, "one", READS)
    measured(path, "two", COST)
    measured(path, "one", COST)

    assert {name: list(one.figures) for name, one in read(path).items()} == {"one": [COST], "two": [COST]}


def test_the_page_tells_each_figure_and_of_which_commit(tmp_path: Path) -> None:
    path = tmp_path / "bench.json"
    measured(path, "reading", READS, COST)

    told = page(read(path))

    assert "| reads | 90.0 | 80.0 - 100 | calls/s | empty | 0.90 | >= 0.6 | met |" in told
    assert "| cost | 5.00 |  | ms | bare | 2.50 | <= 2 | MISSED |" in told
    assert f"Commit {circumstances()['commit']}" in told
    assert "What of reading?" in told


def test_a_share_above_one_is_a_missed_bound() -> None:
    assert share(READS) < 1 < share(COST)


def test_what_grows_with_stores_is_drawn_as_a_curve() -> None:
    sizes = [Figure(name=f"{size} stores: memory", unit="MB", rounds=[value]) for size, value in SIZES.items()]

    drawn = growth([*sizes, READS])

    assert len(drawn) == 1
    assert 'x-axis ["3,000", "10,000"]\n' in drawn[0]
    assert "line [150, 160]\n" in drawn[0]


def test_rates_of_one_unit_are_drawn_together() -> None:
    other = Figure(name="writes", unit="calls/s", rounds=[50.0])

    assert 'x-axis ["reads", "writes"]' in rates([READS, other, COST])
    assert rates([READS, COST]) == ""


def test_reports_become_pages_that_name_their_command(tmp_path: Path) -> None:
    report = tmp_path / "build" / "soak" / "calm" / "report.md"
    report.parent.mkdir(parents=True)
    report.write_text(f"# A soak\n\nKept in {tmp_path}/build/soak.\n")

    assert keep(tmp_path) == [tmp_path / "docs" / "proof" / "soak-calm.md"]
    told = (tmp_path / "docs" / "proof" / "soak-calm.md").read_text()
    assert told.startswith("# A soak\n\nKept in build/soak.\n")
    assert "`make soak` wrote this" in told
    assert "[soak-calm.md](proof/soak-calm.md)." in page({}, links(tmp_path))
