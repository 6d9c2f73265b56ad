"""SECURITY.md against the tree."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ID = re.compile(r"(ASVS|RFC 9700) \d+(\.\d+)+(, \d+(\.\d+)+)*")


def rows(heading: str) -> list[list[str]]:
    """The cells of the table below a heading, without its head."""
    text = (ROOT / "SECURITY.md").read_text().split(f"\n## {heading}\n")[1].split("\n## ")[0]
    lines = [line.strip("| ") for line in text.splitlines() if line.startswith("|")]
    return [re.split(r"\s*\|\s*", line) for line in lines[2:]]


def names(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


@pytest.mark.parametrize("heading", ["Conformance", "Gaps"])
def test_every_row_is_of_a_requirement(heading: str) -> None:
    assert [row[0] for row in rows(heading) if not ID.fullmatch(row[0])] == []


def test_the_code_that_the_table_names_is_there() -> None:
    paths = [path for row in rows("Conformance") for path in names(row[2])]
    assert len(paths) > 50
    assert [path for path in paths if not (ROOT / path).is_file()] == []


def test_the_tests_that_the_table_names_are_there() -> None:
    tests = [test.partition("::") for row in rows("Conformance") for test in names(row[3])]
    assert len(tests) > 50
    missing = [
        f"{file}::{test}"
        for file, _, test in tests
        if not (path := ROOT / "tests" / file).is_file() or f"def {test}" not in path.read_text()
    ]
    assert missing == []
