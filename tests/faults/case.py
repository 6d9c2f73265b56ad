"""A case of the campaign: a fault, what must come of it, and a function that brings the fault about."""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from types import ModuleType

from tests.faults.lab import Lab

Body = Callable[[Lab], Awaitable[str]]
CASE_WITHIN = 300.0  # seconds


class Missed(AssertionError):
    """What was expected did not happen; the text says what did."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """body returns what was seen in one line, or raises Missed; the invariants are checked within the same seconds.

    sandbox is what its sandbox is told at the start.
    """

    id: str
    fault: str
    expected: str
    within: float
    sandbox: Mapping[str, str]
    body: Body


def case(
    identity: str, *, fault: str, expected: str, within: float = CASE_WITHIN, **sandbox: str
) -> Callable[[Body], Case]:
    """Make a case of a function; its id is the row's in the list of faults, with a word behind it for a variant.

    What is told the sandbox at its start is named without its prefix, in lower case.
    """
    told = {f"SANDBOX_{name.upper()}": value for name, value in sandbox.items()}
    return lambda body: Case(id=identity, fault=fault, expected=expected, within=within, sandbox=told, body=body)


def expect(held: bool, seen: object) -> None:
    """Raise Missed with what was seen instead unless it held."""
    if not held:
        raise Missed(str(seen))


def cases_of(modules: Iterable[ModuleType]) -> list[Case]:
    """Return the cases of modules in the order they are written."""
    return [value for module in modules for value in vars(module).values() if isinstance(value, Case)]


def chosen(cases: Iterable[Case], patterns: Iterable[str]) -> list[Case]:
    """Return the cases whose id begins with one of the patterns; all without any."""
    starts = tuple(patterns) or ("",)
    return [one for one in cases if one.id.startswith(starts)]
