"""Builds what the Dockerfile describes in a directory, with the same commands, without Docker."""

import fnmatch
import os
import re
import shlex
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

PYTHON = Path(sys.base_prefix) / "bin" / f"python{sys.version_info.major}.{sys.version_info.minor}"
# Absolute paths of the image; those of a command such as /bin/sh stay.
PLACE = re.compile(r"(?<![\w./-])/(?=(?:opt|src|run/tokhub|var/lib/tokhub)\b)")
OWNER = re.compile(r" -o \d+ -g \d+")
# Whether another account than root can run it: then processes run under the one that the image names.
SHARED = all(place.stat().st_mode & stat.S_IXOTH for place in PYTHON.resolve().parents)
PIP_OF_TESTS = ("VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME")


@dataclass(kw_only=True)
class Image:
    """A directory with what the last stage has, and what its processes begin with."""

    root: Path
    environment: dict[str, str] = field(default_factory=dict)
    user: int = 0
    workdir: Path = Path("/")
    health: list[str] = field(default_factory=list)

    @property
    def account(self) -> int | None:
        """The account that processes run under, None where it is that of the tests."""
        return self.user if os.getuid() == 0 and SHARED else None

    def files(self) -> dict[str, float]:
        """When each file was changed."""
        return {str(path): path.lstat().st_mtime for path in self.root.rglob("*")}

    def within(self, text: str) -> str:
        """Text whose paths of the image lead into the directory."""
        return PLACE.sub(f"{self.root}/", text)


def build(context: Path, root: Path) -> Image:
    """Carry out every line of the Dockerfile; AssertionError for one that cannot be."""
    image = Image(root=root)
    for word, rest in instructions(context / "Dockerfile"):
        if word == "FROM":
            image = Image(root=root)
        STEPS[word](image, rest, context)
    return image


def instructions(dockerfile: Path) -> Iterator[tuple[str, str]]:
    lines = [line for line in dockerfile.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    for line in re.sub(r"\\\n\s*", "", "\n".join(lines)).splitlines():
        if line.strip():
            word, _, rest = line.strip().partition(" ")
            yield word, rest


def run(image: Image, rest: str, _context: Path) -> None:
    command = image.within(rest)
    command = re.sub(r"(?<![\w./-])python(?= )", str(PYTHON), command)
    if os.getuid() != 0:
        command = OWNER.sub("", command)
    environment = {name: value for name, value in os.environ.items() if name not in PIP_OF_TESTS}
    done = subprocess.run(
        ["/bin/sh", "-ec", command], cwd=image.workdir, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"RUN {rest}\n{done.stdout}{done.stderr}"


def copy(image: Image, rest: str, context: Path) -> None:
    *sources, target = shlex.split(rest)
    if sources[0].startswith("--from="):
        # All stages lie in one directory, at the same paths.
        assert image.within(sources[1]) == image.within(target)
        assert Path(image.within(target)).exists()
        return
    ignored = ignore_rules(context)
    for source in sources:
        assert not ignored(Path(source)), f"{source} is kept out by .dockerignore"
        place = image.workdir / target
        if (context / source).is_dir():
            shutil.copytree(context / source, place, ignore=left_out(context, ignored))
        else:
            place.mkdir(parents=True, exist_ok=True)
            shutil.copy(context / source, place)


def left_out(context: Path, ignored: Callable[[Path], bool]) -> Callable[[str, list[str]], set[str]]:
    def choose(directory: str, names: list[str]) -> set[str]:
        inside = Path(directory).relative_to(context)
        return {name for name in names if ignored(inside / name)}

    return choose


def ignore_rules(context: Path) -> Callable[[Path], bool]:
    """Whether .dockerignore keeps a path out: the last rule that matches it or a directory above decides."""
    lines = (context / ".dockerignore").read_text(encoding="utf-8").splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]

    def ignored(path: Path) -> bool:
        verdict = False
        names = [str(path), *(str(parent) for parent in path.parents if parent.name)]
        for rule in rules:
            pattern = rule.removeprefix("!")
            if any(matches(name, pattern) for name in names):
                verdict = not rule.startswith("!")
        return verdict

    return ignored


def matches(name: str, pattern: str) -> bool:
    """Whether a path is what a pattern names, at any depth when it begins with **."""
    if pattern.startswith("**/"):
        return fnmatch.fnmatchcase(name.rpartition("/")[2], pattern[3:])
    return name.count("/") == pattern.count("/") and fnmatch.fnmatchcase(name, pattern)


def workdir(image: Image, rest: str, _context: Path) -> None:
    image.workdir = Path(image.within(rest))
    image.workdir.mkdir(parents=True, exist_ok=True)


def environment(image: Image, rest: str, _context: Path) -> None:
    for setting in shlex.split(rest):
        name, _, value = setting.partition("=")
        image.environment[name] = value.replace("$PATH", "/usr/bin:/bin")


def user(image: Image, rest: str, _context: Path) -> None:
    image.user = int(rest.partition(":")[0])


def health(image: Image, rest: str, _context: Path) -> None:
    image.health = re.findall(r'"([^"]*)"', rest)


def nothing(_image: Image, _rest: str, _context: Path) -> None:
    """What has no counterpart without Docker."""


STEPS: dict[str, Callable[[Image, str, Path], None]] = {
    "ARG": nothing,
    "CMD": nothing,
    "COPY": copy,
    "ENV": environment,
    "FROM": nothing,
    "HEALTHCHECK": health,
    "RUN": run,
    "USER": user,
    "WORKDIR": workdir,
}
