"""Puts figures of docs/measured.md into the README, at the links whose titles name them."""

import re

# [anything](docs/measured.md "measurement: figure"), or "measurement: figure, ratio" for its ratio.
LINK = re.compile(r'\[[^]]*\](\(docs/measured\.md "([\w-]+): ([^"]+?)(, ratio)?"\))')
UNKNOWN = "measured"  # what a link says whose figure the page lacks
MEDIAN, RATIO = 1, 5  # columns of a figure's row, behind its name


def headlined(readme: str, page: str) -> str:
    """Return the README with the figures that the page has."""

    def told(link: re.Match[str]) -> str:
        target, measurement, figure, ratio = link.groups()
        row = rows(page, measurement).get(figure)
        return f"[{row[RATIO if ratio else MEDIAN] if row else UNKNOWN}]{target}"

    return LINK.sub(told, readme)


def rows(page: str, measurement: str) -> dict[str, list[str]]:
    """Return the rows of a measurement's table by the figure's name."""
    section = page.partition(f"\n## {measurement}\n")[2].partition("\n## ")[0]
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in section.splitlines() if line.startswith("|")]
    return {row[0]: row for row in cells}
