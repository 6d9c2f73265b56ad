"""What `python -m sandbox --help` says: what it serves, and every variable with its default."""

import argparse
from collections.abc import Iterable, Mapping

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from sandbox.settings import PREFIX, Settings, Switches

ABOUT = """\
Serve a TikTok to develop against: Login Kit v2, the Display API v2 and TikTok Shop's authorization, with made-up
accounts and sellers, scripted faults, a clock that can be moved and a ledger of every token. It listens on
http://127.0.0.1:8400 and keeps everything in memory unless told otherwise. SIGINT or SIGTERM ends it.
GET /sandbox/ lists the calls that steer it while it runs; docs/sandbox.md explains each of them and each variable."""


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line, which knows no option but --help."""
    return argparse.ArgumentParser(
        prog="python -m sandbox",
        description=ABOUT,
        epilog="\n".join(_lines()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def unknown_variables(environ: Iterable[str]) -> list[str]:
    """Return the variables that look like settings and are none."""
    known = {PREFIX + name.upper() for name in (*Settings.model_fields, *Switches.model_fields)}
    return sorted(name for name in environ if name.startswith(PREFIX) and name not in known)


def _lines() -> Iterable[str]:
    yield "set at the start, in the environment:"
    yield from _defaults({name: field for name, field in Settings.model_fields.items() if name != "switches"})
    yield ""
    yield "switches, which PATCH /sandbox/settings changes while it runs:"
    yield from _defaults(Switches.model_fields)


def _defaults(fields: Mapping[str, FieldInfo]) -> Iterable[str]:
    for name, field in fields.items():
        yield f"  {PREFIX}{name.upper():<34} {_shown(field.default)}".rstrip()


def _shown(value: object) -> str:
    match value:
        case None:
            return ""
        case SecretStr():
            return value.get_secret_value()
        case tuple():
            return ",".join(map(str, value))
        case bool():
            return str(value).lower()
        case _:
            return str(value)
