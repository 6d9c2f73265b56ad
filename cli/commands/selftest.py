"""`tokhub selftest`: brings races and crashes about in a deployment that has the sandbox for TikTok."""

import asyncio
import sys
from collections.abc import Awaitable
from typing import Annotated

import typer

from cli.checks.finding import Finding, Level, bad
from cli.failures import Status, next_step
from cli.options import AsJson, examples
from cli.output import print_json, say
from cli.selftest.crash import crashed
from cli.selftest.ground import open_ground
from cli.selftest.races import disconnected, expired, lost, rejected
from cli.selftest.sandbox import NoSandbox
from cli.services import Services, ask
from cli.views.findings import finding_lines
from libs.errors import TokhubError

EXAMPLES = examples("tokhub selftest", "tokhub selftest --callers 200 --json", "tokhub selftest --kill")
BESIDE_SANDBOX = "Run it on the machine of a suite that has the sandbox for TikTok, such as `make run` (docs/cli.md)."
RACES = (expired, rejected, disconnected, lost)
KILL_NOW = """Tokens rotate now. Kill a token service as the power does (kill -9); start it again if nothing else does.
Press Enter when it serves again. """
REMAINS = (
    "What remains are ended connections of users whose ids begin with selftest_ "
    "(`tokhub connections list --status disconnected`), and lines of the audit trail.\n"
)


def selftest(
    *,
    callers: Annotated[int, typer.Option(min=2, max=1_000, help="How many ask at once.")] = 50,
    kill: Annotated[bool, typer.Option("--kill", help="Wait for you to kill a token service, too.")] = False,
    as_json: AsJson = False,
) -> None:
    """Race for tokens of connections of its own, lose answers, and look at what TikTok counted.

    Only beside the sandbox, on its machine: anything else is refused. The connections belong to users whose ids begin
    with selftest_; they are ended again, and no other connection is touched. The exit status is 1 when a check failed.
    """

    async def checked(services: Services) -> list[Finding]:
        async with open_ground(services) as ground:
            found = [await settled(race(ground, callers)) for race in RACES]
            return [*found, await settled(crashed(ground, wait_for_operator))] if kill else found

    try:
        findings = ask(checked)
    except NoSandbox as error:
        sys.stderr.write(f"tokhub: Nothing was done, for this is no sandbox: {error}.\n  {BESIDE_SANDBOX}\n")
        raise typer.Exit(Status.REFUSED) from None
    sys.stderr.write(REMAINS)
    if as_json:
        print_json([vars(finding) for finding in findings])
    else:
        for line in finding_lines(findings):
            say(line)
    raise typer.Exit(Status.SOME_FAILED if any(one.level is Level.BAD for one in findings) else Status.DONE)


async def settled(check: Awaitable[Finding]) -> Finding:
    """Return what a check finds; an error that ends it is a finding too."""
    try:
        return await check
    except TokhubError as error:
        return bad("services", f"{error.message} ({error.reason.value})", next_step(error))


async def wait_for_operator() -> None:
    """Ask for a crash, and return when Enter is pressed or nobody is there to do so."""
    sys.stderr.write(KILL_NOW)
    sys.stderr.flush()
    await asyncio.to_thread(sys.stdin.readline)
