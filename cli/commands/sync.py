"""`tokhub sync`: runs are started, followed, listed and ended."""

import uuid
from enum import StrEnum
from typing import Annotated

import typer
from tokhub.sync.v1 import sync_pb2

from cli.commands.watching import leave, watch_to_end
from cli.options import AsJson, examples
from cli.output import plain, print_json, say, show
from cli.services import Services, ask
from cli.views.runs import logs_table, run_text, runs_table
from libs.errors import RunNotFound
from libs.runs.following import has_ended

NO_RUNS = "No run yet: `tokhub sync run` starts one."
NO_LOGS = "Nothing in the sync log: `tokhub sync run` starts a run."


class JobName(StrEnum):
    """What a run does for each store."""

    ALL = "all"
    USER = "user"
    VIDEO = "video"
    REFRESH_TOKENS = "refresh_tokens"

    @property
    def job(self) -> sync_pb2.Job.ValueType:
        """What the protos call it."""
        return sync_pb2.Job.Value(f"JOB_{self.name}")


group = typer.Typer(no_args_is_help=True, help="Runs: fetching accounts and videos of stores.")

RunId = Annotated[str, typer.Argument(metavar="RUN", help="UUID of the run.")]
Limit = Annotated[int, typer.Option(min=1, max=500, help="Most lines, newest first.")]


@group.command(
    epilog=examples(
        "tokhub sync run",
        "tokhub sync run --job video --store jakarta_01 --store jakarta_02",
        "tokhub sync run --detach",
    )
)
def run(
    *,
    job: Annotated[JobName, typer.Option(help="What to do for each store.")] = JobName.ALL,
    store: Annotated[list[str] | None, typer.Option(help="Only this store; may be repeated.")] = None,
    user: Annotated[str | None, typer.Option(help="A creator, by user id, instead of stores.")] = None,
    detach: Annotated[bool, typer.Option("--detach", help="Start the run and do not wait for it.")] = False,
    as_json: AsJson = False,
) -> None:
    """Start a run and show how far it is; it goes on when you leave with Ctrl-C.

    The exit status is 0 when every store succeeded or was skipped, 1 when some failed, 130 after Ctrl-C.
    """
    if store and user:
        raise typer.BadParameter("say --store or --user, not both.")
    request = run_request(job, store or [], user)
    begun = ask(lambda services: services.sync.runs.StartSync(request)).run
    if detach:
        leave(begun, as_json=as_json)
    else:
        watch_to_end(begun.id, as_json=as_json)


def run_request(job: JobName, stores: list[str], user: str | None) -> sync_pb2.StartSyncRequest:
    """Return the request; its key makes a repeat on the wire the same run."""
    request = sync_pb2.StartSyncRequest(job=job.job, idempotency_key=uuid.uuid4().hex)
    if user:
        request.user_id = user
    elif len(stores) == 1:
        request.store_code = stores[0]
    elif stores:
        request.stores.store_codes.extend(stores)
    else:
        request.all.SetInParent()
    return request


@group.command(epilog=examples("tokhub sync status", "tokhub sync status --active", "tokhub sync status RUN --json"))
def status(
    run_id: Annotated[
        str | None, typer.Argument(metavar="[RUN]", help="UUID of a run; the newest runs if none.")
    ] = None,
    *,
    active: Annotated[bool, typer.Option("--active", help="Only runs that have not ended.")] = False,
    limit: Limit = 20,
    as_json: AsJson = False,
) -> None:
    """Show one run, or the newest ones."""
    if run_id is None:
        show_newest(sync_pb2.ListRunsRequest(page_size=limit, active_only=active), as_json=as_json)
        return
    request = sync_pb2.GetRunRequest(run_id=run_id)
    found = ask(lambda services: services.sync.runs.GetRun(request))
    if as_json:
        print_json(plain(found))
    else:
        say(run_text(found.run))


def show_newest(request: sync_pb2.ListRunsRequest, *, as_json: bool) -> None:
    """Write a table of runs."""
    runs = ask(lambda services: services.sync.runs.ListRuns(request)).runs
    if as_json:
        print_json([plain(one) for one in runs])
    else:
        show(runs_table(runs), empty=NO_RUNS)


@group.command(epilog=examples("tokhub sync watch", "tokhub sync watch RUN --json"))
def watch(
    run_id: Annotated[
        str | None, typer.Argument(metavar="[RUN]", help="UUID of a run; the newest one if none.")
    ] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Follow a run to its end; its stores go on when you leave with Ctrl-C. Exit statuses are those of run."""
    watch_to_end(run_id or newest_run(), as_json=as_json)


def newest_run() -> str:
    """Return the id of the newest run."""
    runs = ask(lambda services: services.sync.runs.ListRuns(sync_pb2.ListRunsRequest(page_size=1))).runs
    if not runs:
        raise RunNotFound("There is no run to follow.")
    return runs[0].id


@group.command(epilog=examples("tokhub sync cancel RUN"))
def cancel(run_id: RunId, *, as_json: AsJson = False) -> None:
    """End a run where it stands: what is stored stays. A run that has ended stays as it ended."""

    async def cancelled(services: Services) -> tuple[sync_pb2.Run, sync_pb2.Run]:
        before = await services.sync.runs.GetRun(sync_pb2.GetRunRequest(run_id=run_id))
        return before.run, (await services.sync.runs.CancelRun(sync_pb2.CancelRunRequest(run_id=run_id))).run

    before, ended = ask(cancelled)
    if as_json:
        print_json(plain(ended))
        return
    if has_ended(before.state):
        say("Nothing was cancelled: the run had ended before.")
    say(run_text(ended))


@group.command(epilog=examples("tokhub sync logs", "tokhub sync logs --store jakarta_01 --limit 5"))
def logs(
    *,
    store: Annotated[str, typer.Option(help="Only lines of this store.")] = "",
    limit: Limit = 50,
    as_json: AsJson = False,
) -> None:
    """Show the sync log: what each job did for each store."""
    request = sync_pb2.ListSyncLogsRequest(store_code=store, limit=limit)
    lines = ask(lambda services: services.sync.runs.ListSyncLogs(request)).logs
    if as_json:
        print_json([plain(one) for one in lines])
    else:
        show(logs_table(lines), empty=NO_LOGS)
