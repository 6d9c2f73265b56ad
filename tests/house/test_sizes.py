import ast
from pathlib import Path

import pytest

from tests.house.sizes import ROOMS, ROOT, Module, modules, sentences, sizes, too_long


def module(text: str, name: str = "one.py") -> Module:
    return Module(Path(name), text, ast.parse(text))


@pytest.mark.parametrize("room", ROOMS)
def test_no_file_or_function_of_ours_is_too_long(room: str) -> None:
    assert list(too_long(list(modules(ROOT / room)))) == []


def test_what_is_too_long_is_named_by_its_place() -> None:
    function = "\n".join(["def long() -> None:", '    """Promise."""', *["    print()"] * 60])
    shorter = function.replace("long", "shorter").replace("    print()\n", "", 1)
    file = module(f"{shorter}\n{function}\n" + "\n" * 300)

    assert list(too_long([file])) == [
        "one.py: 423 lines, at most 400: split what has two ideas",
        "one.py:62: long has 61 lines, at most 60: give its steps names",
    ]


def test_stubs_and_empty_files_do_not_count(tmp_path: Path) -> None:
    for name, text in (("__init__.py", ""), ("one_pb2.py", "x = 1\n"), ("one.py", '"""Promise."""\n')):
        (tmp_path / name).write_text(text)

    assert [one.path.name for one in modules(tmp_path)] == ["one.py"]


def test_a_row_tells_median_ninetieth_and_largest() -> None:
    ten = [module("x = 1  # why\n" * lines) for lines in range(1, 11)]

    assert sizes(ten) == ["10", "5 / 9 / 10", "-", "100.0%"]


def test_tests_are_counted_with_the_words_of_their_names() -> None:
    text = "def test_one_two() -> None:\n    '''Told.'''\n    assert 1\n\ndef test_three() -> None:\n    assert 3\n"

    assert sentences([module(text, "test_one.py"), module(text, "fixtures.py")]) == ["2", "1", "2", "50%"]
