import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from cli.app import app

ROOT = Path(__file__).parents[2]
GROUPS = {group.name: group.typer_instance for group in app.registered_groups}


def names_of(of: typer.Typer) -> list[str]:
    return [str(command.name or getattr(command.callback, "__name__", "")) for command in of.registered_commands]


COMMANDS = [
    *names_of(app),
    *(f"{group} {name}" for group, typed in GROUPS.items() if typed for name in names_of(typed)),
]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_shows_how_it_is_used(command: str) -> None:
    shown = CliRunner().invoke(app, [*command.split(), "--help"], env={"COLUMNS": "200"}).output
    assert f"tokhub {command}" in shown.partition("Examples:")[2]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_recorded_in_the_docs(command: str) -> None:
    assert f"tokhub {command}" in (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")


def test_a_flag_is_shown_without_a_type() -> None:
    asked = (sys.executable, "-m", "cli", "stores", "list", "--help")
    shown = subprocess.run(asked, cwd=ROOT, env={"COLUMNS": "200"}, capture_output=True, text=True, check=True).stdout
    assert "--json" in shown
    assert "<bool>" not in shown


def test_a_shell_is_told_what_may_follow() -> None:
    told = subprocess.run(
        (sys.executable, "-m", "cli"),
        cwd=ROOT,
        env={"_TOKHUB_COMPLETE": "complete_bash", "COMP_WORDS": "tokhub st", "COMP_CWORD": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout.split() == ["stores"]
