"""Follows a run that has begun until it ends, the person has seen enough, or nobody tells of it any more."""

import sys
from typing import NoReturn

import typer
from tokhub.sync.v1 import sync_pb2

from cli.failures import Status, tell
from cli.output import open_console, plain, print_json, print_json_line, say
from cli.services import Services, ask
from cli.views.runs import left_text, show_end, started_text, waiting_text
from libs.clock import SystemClock
from libs.errors import UpstreamUnavailable
from libs.rpc.request_id import current_request_id
from libs.runs.display import open_display
from libs.runs.following import Follower, failures_of
from libs.runs.report import rows

PATIENCE = 60.0  # seconds without the service: a service that is restarted is back long before


def leave(begun: sync_pb2.Run, *, as_json: bool) -> None:
    """Say what can be done with a run that nobody waits for."""
    if as_json:
        print_json(plain(begun))
    else:
        say(started_text(begun))


def watch_to_end(run_id: str, *, as_json: bool) -> NoReturn:
    """Show how far a run is, and exit as it ended; Ctrl-C leaves the run to itself."""
    watching = as_lines if as_json else as_bars
    try:
        state = ask(lambda services: watching(services, run_id))
    except KeyboardInterrupt:
        sys.stderr.write(left_text(run_id))
        raise typer.Exit(Status.INTERRUPTED) from None
    except UpstreamUnavailable as error:
        status = tell(error, current_request_id())
        sys.stderr.write(left_text(run_id))
        raise typer.Exit(status) from None
    raise typer.Exit(Status.DONE if state == sync_pb2.RUN_STATE_SUCCEEDED else Status.SOME_FAILED)


async def as_bars(services: Services, run_id: str) -> sync_pb2.RunState.ValueType:
    """Show bars on a terminal, lines elsewhere, then a table; return how the run ended."""
    console = open_console()
    last, failures = sync_pb2.Progress(run_id=run_id), dict[str, str]()
    with open_display(console) as display:
        async for last in follower(services, run_id).follow(run_id):
            failures.update(failures_of(last))
            display.show(rows(last))
    show_end(console, last, failures)
    return last.state


async def as_lines(services: Services, run_id: str) -> sync_pb2.RunState.ValueType:
    """Write each progress message as a line of JSON; return how the run ended."""
    state = sync_pb2.RUN_STATE_UNSPECIFIED
    async for progress in follower(services, run_id).follow(run_id):
        print_json_line(plain(progress))
        state = progress.state
    return state


def follower(services: Services, run_id: str) -> Follower:
    """Return what follows the run, and says when it has to wait for the service."""

    def waits() -> None:
        sys.stderr.write(waiting_text(run_id, PATIENCE))

    return Follower(watches=services.sync.runs, clock=SystemClock(), patience=PATIENCE, waits=waits)
