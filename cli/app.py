"""The command as a whole: its groups, and what becomes of an error."""

import logging
import sys
from importlib.metadata import version
from io import TextIOWrapper
from typing import Annotated, cast

import structlog
import typer
from typer.core import TyperGroup
from typer.main import get_command

from cli.commands import audit, connections, db, schedule, stores, sync, vault
from cli.commands.doctor import EXAMPLES as DOCTOR_EXAMPLES
from cli.commands.doctor import doctor
from cli.commands.refresh_tokens import EXAMPLES as REFRESH_EXAMPLES
from cli.commands.refresh_tokens import refresh_tokens
from cli.commands.selftest import EXAMPLES as SELFTEST_EXAMPLES
from cli.commands.selftest import selftest
from cli.failures import Status, tell
from cli.help import hide_types
from cli.output import say
from libs.errors import TokhubError
from libs.rpc.request_id import bind_request_id
from libs.settings import WrongSetting

HELP = """Runs a tokhub suite from the terminal, over gRPC.

Beside a running `make run` nothing has to be set. Elsewhere TOKEN_TARGET and SYNC_TARGET say where the services are, \
and TLS_CA, TLS_CERT and TLS_KEY who asks.

Exit statuses: 0 done, 1 some of it failed, 2 wrong usage, 3 refused, 75 try again later, 78 wrong settings, \
130 interrupted.
"""


app = typer.Typer(
    name="tokhub",
    help=HELP,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("refresh-tokens", epilog=REFRESH_EXAMPLES)(refresh_tokens)
app.command("doctor", epilog=DOCTOR_EXAMPLES)(doctor)
app.command("selftest", epilog=SELFTEST_EXAMPLES)(selftest)
app.add_typer(stores.group, name="stores")
app.add_typer(sync.group, name="sync")
app.add_typer(schedule.group, name="schedule")
app.add_typer(connections.group, name="connections")
app.add_typer(vault.group, name="vault")
app.add_typer(audit.group, name="audit")
app.add_typer(db.group, name="db")


def show_version(wanted: bool) -> None:
    """Print the version, if that is what is wanted, and end."""
    if wanted:
        say(f"tokhub {version('tokhub')}")
        raise typer.Exit


@app.callback()
def every_command(
    *,
    _version: Annotated[
        bool, typer.Option("--version", callback=show_version, is_eager=True, help="Print the version and end.")
    ] = False,
) -> None:
    """Nothing is done before a command but what its options say."""


def main() -> int:
    """Run the command that the arguments name; return the exit status."""
    prepare_output()
    request_id = bind_request_id(None)
    command = cast("TyperGroup", get_command(app))
    hide_types(command)
    try:
        command(prog_name="tokhub")
    except TokhubError as error:
        return tell(error, request_id)
    except WrongSetting as error:
        sys.stderr.write(f"tokhub: {error}\n")
        return Status.MISCONFIGURED
    return Status.DONE


def prepare_output() -> None:
    """Leave stdout to what was asked for, and let no sign that a terminal does not have end the command."""
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")
