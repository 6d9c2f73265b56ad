"""The README repeats docs/measured.md."""

from pathlib import Path

from benchmarks.headlines import LINK, headlined

ROOT = Path(__file__).parents[2]
PAGE = """
## reading

| figure | median | spread | unit | against | ratio | bound | verdict |
| --- | --- | --- | --- | --- | --- | --- | --- |
| reads, from memory | 1,234 | 900 - 1,500 | calls/s | empty | 0.91 | >= 0.85 | met |

## writing
"""


def link(text: str, title: str) -> str:
    return f'[{text}](docs/measured.md "{title}")'


def test_the_readme_tells_the_figures_that_were_measured() -> None:
    readme = (ROOT / "README.md").read_text()
    assert len(LINK.findall(readme)) > 5
    assert headlined(readme, (ROOT / "docs" / "measured.md").read_text()) == readme


def test_a_figure_is_put_where_its_name_is() -> None:
    assert headlined(link("7", "reading: reads, from memory"), PAGE) == link("1,234", "reading: reads, from memory")
    ratio = "reading: reads, from memory, ratio"
    assert headlined(link("measured", ratio), PAGE) == link("0.91", ratio)


def test_a_figure_that_nobody_measured_is_a_word() -> None:
    assert headlined(link("7", "writing: reads, from memory"), PAGE) == link("measured", "writing: reads, from memory")
