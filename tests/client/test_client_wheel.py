"""The wheel of the client, as another service installs it."""

import ast
import importlib.metadata
import re
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# What the project's own directories must not lend to the interpreter: -S keeps it from the editable install.
ALONE = """
import sys, libs.client
print(*(module.__file__ for name, module in sys.modules.items() if name.startswith("libs.")), sep="\\n")
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("wheel")
    build = ("-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "--no-index", "-w", str(directory))
    subprocess.run([sys.executable, *build, str(ROOT / "libs" / "client")], check=True)
    (wheel,) = directory.glob("tokhub_client-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(directory / "site")
    return directory / "site"


def imported(file: Path) -> set[str]:
    """The top-level packages and stub namespaces that a file imports."""
    tree = ast.walk(ast.parse(file.read_text()))
    names: set[str] = set()
    for node in tree:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
    return {name.split(".")[0] for name in names}


def test_the_wheel_runs_without_the_rest_of_the_project(installed: Path) -> None:
    packages = sysconfig.get_paths()["purelib"]
    run = subprocess.run(
        [sys.executable, "-S", "-c", ALONE],
        cwd=installed,
        env={"PYTHONPATH": f"{installed}:{packages}"},
        capture_output=True,
        text=True,
        check=True,
    )
    files = run.stdout.split()
    assert len(files) > 10
    assert [file for file in files if not file.startswith(str(installed))] == []


def test_the_wheel_asks_for_all_that_it_imports(installed: Path) -> None:
    (metadata,) = installed.glob("*.dist-info/METADATA")
    declared = set(re.findall(r"^Requires-Dist: ([\w-]+)", metadata.read_text(), re.MULTILINE))
    own = {"libs", "tokhub", "buf", "pydantic_core"}  # the last is what pydantic itself pins
    known = importlib.metadata.packages_distributions()
    foreign = set().union(*map(imported, installed.rglob("*.py"))) - own - set(sys.stdlib_module_names)
    assert {name for name in foreign if not declared & set(known.get(name, ()))} == set()
    assert {name for name in declared if not any(name in known.get(top, ()) for top in foreign)} == set()
