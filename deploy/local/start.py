"""Starts the suite on this machine, sets up demo stores, syncs them, and serves until told to stop."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from rich.console import Console

from deploy.local.__main__ import INTERRUPTED
from deploy.local.clients import leave_for_clients
from deploy.local.identities import Identities
from deploy.local.onboarding import AdminError
from deploy.local.postgres import Database, DatabaseUnusable, administered_database, service_addresses
from deploy.local.processes import end_orphans
from deploy.local.programs import Suite, with_open_gates
from deploy.local.report import SetUp, shortest, show_next
from deploy.local.secret_files import SecretFiles, check_given
from deploy.local.setting_up import Demonstration
from deploy.local.settings import LocalSettings
from deploy.local.state import check_ports, hold_state
from deploy.local.supervision import CannotStart, Supervisor
from deploy.local.watching import Revive, watching
from libs.clock import SystemClock
from libs.errors import TokhubError
from libs.process import run
from libs.runs.report import show_failures, show_jobs
from libs.settings import EX_CONFIG, WrongSetting, load, read_environment

STOPPED_EARLY = "Stopped before the set-up was complete: the next start goes on from there."

T = TypeVar("T")


class Stopped(Exception):
    """The person asked to stop before the set-up was complete."""


async def unless_stopped(stop: asyncio.Event, work: Coroutine[Any, Any, T]) -> T:
    """Return what the work returns; when stop is set first, cancel the work, wait for that and raise Stopped."""
    task, stopping = asyncio.create_task(work), asyncio.create_task(stop.wait())
    await asyncio.wait({task, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if not task.done():
        task.cancel()
        await asyncio.wait({task})
    if task.cancelled():
        raise Stopped
    return task.result()


@dataclass(frozen=True, kw_only=True)
class Start:
    """What a start is made of."""

    settings: LocalSettings
    environ: Mapping[str, str]
    database: Database
    console: Console


@dataclass(frozen=True, kw_only=True)
class Ending:
    """The exit status, and the last line to print."""

    status: int
    line: str


async def run_suite(start: Start, stop: asyncio.Event) -> Ending:
    """Run until everything is done, or until told to stop; what was started has ended when this returns."""
    settings, console = start.settings, start.console
    files = SecretFiles(settings.state / "secrets", start.environ)
    addresses = await unless_stopped(stop, service_addresses(start.database.admin_dsn, files))
    identities = Identities(directory=settings.state / "tls", hosts=settings.hosts, clock=SystemClock())
    identities.renew()
    suite = Suite(settings=settings, environ=start.environ, files=files, databases=addresses, identities=identities)
    leave_for_clients(suite)
    say = partial(console.print, style="yellow", markup=False)
    supervisor = Supervisor(state=settings.state, say=say)
    async with (
        identities.kept(),
        watching(start.database.server, say) as revive,
        running(supervisor, revive, console),
    ):
        set_up = await unless_stopped(stop, set_up_stores(suite, supervisor, console))
        if not settings.serve:
            return Ending(status=0 if set_up.good else 1, line=set_up.line())
        console.print(f"\n{set_up.line()}\nServing on {settings.gateway_url} until Ctrl-C")
        await stop.wait()
    return Ending(status=0, line="Stopped.")


@asynccontextmanager
async def running(supervisor: Supervisor, revive: Revive, console: Console) -> AsyncIterator[None]:
    """End everything the supervisor runs when the body is left, however it is left; what it runs can save first."""
    try:
        yield
    finally:
        console.print("Stopping, which may take a few seconds")
        await revive()
        await supervisor.end_all()


async def set_up_stores(suite: Suite, supervisor: Supervisor, console: Console) -> SetUp:
    """Start the programs, connect and sync the stores, and report."""
    settings, gateway = suite.settings, suite.gateway()
    raised = with_open_gates(gateway, settings)
    programs = [raised if program.name == gateway.name else program for program in suite.programs()]
    console.print(f"Starting {', '.join(program.name for program in programs)}; state in {shortest(settings.state)}")
    await supervisor.start(programs)
    if raised is not gateway:
        console.print("The gateway's request limits are raised for the set-up; the usual ones hold after it")
    admin_key = Path(gateway.environment["ADMIN_API_KEY_FILE"])
    operator = suite.identities.operator()
    set_up = await Demonstration(settings=settings, admin_key=admin_key, operator=operator, console=console).run()
    show_jobs(console, set_up.sync.progress)
    show_failures(console, set_up.failures)
    if settings.serve and raised is not gateway:
        await supervisor.replace(gateway)
    show_next(console, suite, admin_key)
    return set_up


def run_on_database(settings: LocalSettings, environ: Mapping[str, str]) -> Ending:
    """Hold the state directory and the database while the suite runs."""
    console = Console(highlight=False, soft_wrap=True)
    with hold_state(settings.state):
        end_orphans(settings.state)
        check_ports(settings.ports)
        with administered_database(settings.database_url, settings.state / "postgres") as database:
            start = Start(settings=settings, environ=environ, database=database, console=console)
            try:
                return run(lambda stop: run_suite(start, stop))
            finally:
                # The database still has to end in order, however impatient the person is.
                ignore_signals()


def ignore_signals() -> None:
    """Let nothing interrupt what is left to do, which is short."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


def main() -> int:
    """Return the exit status."""
    environ = read_environment(Path.cwd())
    settings = load(LocalSettings, environ)
    try:
        # Until the event loop takes the signals over, both interrupt.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.default_int_handler)
        check_given(environ)
        ending = run_on_database(settings, environ)
    except (KeyboardInterrupt, Stopped):
        ignore_signals()
        ending = Ending(status=INTERRUPTED, line=STOPPED_EARLY)
    except WrongSetting as error:
        sys.stderr.write(f"tokhub cannot start: {error}\n")
        return EX_CONFIG
    except (TokhubError, CannotStart, AdminError, DatabaseUnusable) as error:
        sys.stderr.write(f"{error}\n")
        ending = Ending(status=1, line="The suite could not be set up; see above.")
    sys.stdout.write(f"{ending.line}\n")
    return ending.status
