"""Takes the reports of faults and soaks into docs/proof, as they were written."""

from collections.abc import Sequence
from pathlib import Path

from benchmarks.processes import ROOT

# Where each command leaves its report, and what that is called in the documentation.
PLACE = Path("docs") / "proof"
REPORTS = {
    "faults.md": ("build/faults/report.md", "make faults"),
    "soak-calm.md": ("build/soak/calm/report.md", "make soak"),
    "soak-nemesis.md": ("build/soak/nemesis/report.md", "make soak NEMESIS=1"),
}


def keep(root: Path = ROOT) -> Sequence[Path]:
    """Copy each report that is there, and say below it whence it came; return the pages that were written."""
    found = {page: told for page, told in REPORTS.items() if (root / told[0]).exists()}
    return [write(root, page, *told) for page, told in found.items()]


def links(root: Path = ROOT) -> str:
    """Return links to the pages that are there, for one that lies in docs."""
    found = [page for page in REPORTS if (root / PLACE / page).exists()]
    return ", ".join(f"[{page}](proof/{page})" for page in found)


def write(root: Path, page: str, report: str, command: str) -> Path:
    """Write one page, without the place where the checkout lay."""
    told = (root / report).read_text(encoding="utf-8").replace(f"{root}/", "")
    path = root / PLACE / page
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{told.rstrip()}\n\n`{command}` wrote this, and `make figures` put it here.\n", encoding="utf-8")
    return path
