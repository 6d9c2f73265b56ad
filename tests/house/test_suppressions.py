import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.house.sizes import ROOMS, ROOT, Module, modules

SUPPRESSION = re.compile(r"#\s*(noqa|type:\s*ignore|pragma:\s*no cover|ruff:|mypy:)")
EXPLAINED = re.compile(r"# (noqa: [A-Z]+\d+(, [A-Z]+\d+)* - |type: ignore\[[a-z-]+\]  # )\w")
SKIPS = {"skip", "skipif", "importorskip", "xfail"}


def unexplained(module: Module) -> Iterator[str]:
    for token in tokenize.generate_tokens(io.StringIO(module.text).readline):
        is_comment = token.type == tokenize.COMMENT
        if is_comment and SUPPRESSION.search(token.string) and not EXPLAINED.match(token.string):
            yield f"{module.path}:{token.start[0]}: {token.string}"


def skips(module: Module) -> Iterator[ast.Call]:
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in SKIPS:
            yield node


def reason(skip: ast.Call) -> str:
    said = [named.value for named in skip.keywords if named.arg == "reason"] or skip.args
    return said[0].value if said and isinstance(said[0], ast.Constant) and isinstance(said[0].value, str) else ""


@pytest.mark.parametrize("room", ROOMS)
def test_every_suppression_has_its_code_and_its_reason(room: str) -> None:
    assert [line for module in modules(ROOT / room) for line in unexplained(module)] == []


@pytest.mark.parametrize(
    "comment", ["# noqa", "# noqa: S603", "# type: ignore", "# type: ignore[arg-type]", "# noqa: x - y"]
)
def test_a_suppression_without_either_is_named(comment: str) -> None:
    assert list(unexplained(Module(Path("one.py"), f"x = 1  {comment}\n", ast.parse("")))) == [f"one.py:1: {comment}"]


def test_every_skip_is_told_to_contributors() -> None:
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    reasons = [reason(skip) for module in modules(ROOT / "tests") for skip in skips(module)]
    assert len(reasons) > 2
    assert [one for one in reasons if f"| {one} |" not in page] == []
