import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOMS = ("services", "libs", "sandbox", "cli", "deploy", "examples")
LINT = Path(sys.executable).with_name("lint-imports")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of the project's code to break walls in."""
    for room in ROOMS:
        shutil.copytree(ROOT / room, tmp_path / room, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def lint_imports(tree: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([LINT, "--no-cache"], cwd=tree, capture_output=True, text=True, check=False)


def test_every_wall_stands_in_the_tree(tree: Path) -> None:
    result = lint_imports(tree)
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize(
    ("importer", "imported", "wall"),
    [
        ("services/gateway/app.py", "services.token.settings", "Services call each other"),
        ("services/sync/core/jobs.py", "services.token.domain.grant", "Services call each other"),
        ("libs/clock.py", "services.token.settings", "Libs import nothing"),
        ("sandbox/clock.py", "libs.tiktok.outcomes", "The sandbox shares no code"),
        ("services/gateway/limits.py", "sqlalchemy", "The gateway knows no database"),
        ("services/gateway/limits.py", "libs.database.dsn", "The gateway knows no database"),
        ("services/gateway/__main__.py", "libs.database.pool", "The gateway knows no database"),
        ("services/token/domain/grant.py", "services.token.core.refresh", "imports point at the domain"),
        ("services/token/core/refresh.py", "services.token.adapters.links", "imports point at the domain"),
        ("services/token/core/refresh.py", "grpc", "Core and domain know neither"),
        ("services/sync/domain/runs.py", "tokhub.sync.v1.sync_pb2", "Core and domain know neither"),
        ("services/token/servicers/token.py", "sqlalchemy", "Servicers translate"),
        ("deploy/local/settings.py", "services.token.settings", "over the wire only"),
        ("cli/services.py", "services.sync.settings", "over the wire only"),
        ("cli/services.py", "libs.database.pool", "touches no table"),
        ("cli/moving/old_system.py", "asyncpg", "touches no table"),
        ("cli/settings.py", "deploy.local.settings", "touches no table"),
        ("libs/client/cache.py", "libs.rpc.server", "brings along nothing"),
        ("examples/followers.py", "libs.rpc.client", "Examples use"),
    ],
)
def test_a_hole_in_a_wall_is_named(tree: Path, importer: str, imported: str, wall: str) -> None:
    file = tree / importer
    file.write_text(f"{file.read_text()}\nimport {imported}\n")
    result = lint_imports(tree)
    broken = [line for line in result.stdout.splitlines() if " BROKEN" in line]
    assert result.returncode != 0
    assert any(wall in line for line in broken), result.stdout
