"""Draws figures as charts in Mermaid, which the pages that show Markdown render."""

from collections.abc import Mapping, Sequence

from benchmarks.figures import Bound, Figure

# Mermaid's own colour is hardly seen on white.
COLOUR = '%%{init: {"themeVariables": {"xyChart": {"plotColorPalette": "#2b6cb0"}}}}%%'
Drawn = Mapping[str, Sequence[Figure]]


def nearness(measured: Drawn) -> str:
    """Return a chart of how near each measurement comes to its bounds: above 1 one of them is missed."""
    used = {name: max(shares) for name, figures in measured.items() if (shares := shares_of(figures))}
    if not used:
        return ""
    return chart(
        [
            "xychart-beta horizontal",
            f"    x-axis {texts(list(used))}",
            f'    y-axis "share of its bound" 0 --> {max(1.2, *used.values()):.2f}',
            f"    bar {numbers(list(used.values()))}",
        ]
    )


def shares_of(figures: Sequence[Figure]) -> Sequence[float]:
    """Return how much of its bound each figure that has one uses up."""
    return [share(figure) for figure in figures if figure.limit and figure.limit.value]


def share(figure: Figure) -> float:
    """Return what a figure uses of its bound; 1 is the bound itself, whichever side is the good one."""
    if figure.limit is None:
        raise ValueError(f"{figure.name} has no bound")
    value = figure.value if figure.ratio is None else figure.ratio
    return value / figure.limit.value if figure.limit.bound is Bound.AT_MOST else figure.limit.value / value


def rates(figures: Sequence[Figure]) -> str:
    """Return a chart of what is done in a second; nothing when there is nothing to compare."""
    found = [figure for figure in figures if figure.unit.endswith("/s")]
    if len({figure.unit for figure in found}) != 1 or len(found) == 1:
        return ""
    return chart(
        [
            "xychart-beta horizontal",
            f"    x-axis {texts([figure.name for figure in found])}",
            f'    y-axis "{found[0].unit}" 0 --> {max(figure.value for figure in found):.0f}',
            f"    bar {numbers([figure.value for figure in found])}",
        ]
    )


def growth(figures: Sequence[Figure]) -> Sequence[str]:
    """Return a chart for each figure that was measured with different numbers of stores."""
    sizes: dict[str, dict[str, Figure]] = {}
    for figure in figures:
        size, _, what = figure.name.partition(": ")
        if size.endswith(" stores"):
            sizes.setdefault(what, {})[size.removesuffix(" stores")] = figure
    return [curve(what, found) for what, found in sizes.items() if len(found) > 1]


def curve(what: str, sizes: Mapping[str, Figure]) -> str:
    """Return the chart of one figure over numbers of stores."""
    values = [figure.value for figure in sizes.values()]
    unit = next(iter(sizes.values())).unit
    return chart(
        [
            "xychart-beta",
            f'    title "{what}, by number of stores"',
            f"    x-axis {texts(list(sizes))}",
            f'    y-axis "{unit}" 0 --> {max(values) * 1.2:.3g}',
            f"    line {numbers(values)}",
        ]
    )


def chart(lines: Sequence[str]) -> str:
    """Return a fenced chart."""
    return "\n".join(["```mermaid", COLOUR, *lines, "```"])


def texts(values: Sequence[str]) -> str:
    """Return texts as Mermaid wants them, quoted: commas part them otherwise."""
    return "[" + ", ".join(f'"{value}"' for value in values) + "]"


def numbers(values: Sequence[float]) -> str:
    """Return numbers as Mermaid wants them."""
    return "[" + ", ".join(f"{value:.4g}" for value in values) + "]"
