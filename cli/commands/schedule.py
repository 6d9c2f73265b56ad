"""`tokhub schedule`: what starts by itself and when, and the same by hand."""

from enum import StrEnum
from typing import Annotated

import typer
from tokhub.sync.v1 import sync_pb2

from cli.commands.watching import leave, watch_to_end
from cli.options import AsJson, examples
from cli.output import plain, print_json, say, show
from cli.services import ask
from cli.views.runs import rehearsal_text, schedule_table


class ScheduleName(StrEnum):
    """A job that starts by itself."""

    REFRESH_TOKENS = "refresh_tokens"
    SYNC_USER_DAILY = "sync_user_daily"
    SYNC_VIDEO_DAILY = "sync_video_daily"


group = typer.Typer(no_args_is_help=True, help="Jobs that start by themselves.")

Name = Annotated[
    ScheduleName, typer.Argument(metavar="NAME", help="refresh_tokens, sync_user_daily or sync_video_daily.")
]


@group.command("list", epilog=examples("tokhub schedule list"))
def list_schedules(*, as_json: AsJson = False) -> None:
    """List the jobs that start by themselves, and when they do next."""
    told = ask(lambda services: services.sync.runs.GetSchedule(sync_pb2.GetScheduleRequest()))
    if as_json:
        print_json(plain(told))
        return
    if not told.enabled:
        say("Nothing starts by itself: CRON_ENABLED is 0.")
    show(schedule_table(told), empty="No schedule.")
    say(f"Cron expressions are read in {told.timezone}.")


@group.command(epilog=examples("tokhub schedule run sync_user_daily", "tokhub schedule run refresh_tokens --detach"))
def run(
    name: Name,
    *,
    detach: Annotated[bool, typer.Option("--detach", help="Start the run and do not wait for it.")] = False,
    as_json: AsJson = False,
) -> None:
    """Start a scheduled job now, and show how far it is; exit statuses are those of `tokhub sync run`."""
    begun = ask(lambda services: services.sync.runs.RunScheduledJob(asked(name))).run
    if detach:
        leave(begun, as_json=as_json)
    else:
        watch_to_end(begun.id, as_json=as_json)


@group.command("test", epilog=examples("tokhub schedule test sync_video_daily"))
def rehearse(name: Name, *, as_json: AsJson = False) -> None:
    """Say what a scheduled job would do now; nothing is started."""
    told = ask(lambda services: services.sync.runs.RunScheduledJob(asked(name, dry_run=True)))
    if as_json:
        print_json(plain(told))
    else:
        say(rehearsal_text(name, told))


def asked(name: ScheduleName, *, dry_run: bool = False) -> sync_pb2.RunScheduledJobRequest:
    """Return the request."""
    return sync_pb2.RunScheduledJobRequest(name=name.value, dry_run=dry_run)
