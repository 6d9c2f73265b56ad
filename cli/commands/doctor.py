"""`tokhub doctor`: looks at everything that has to be right, and says what to do about what is not."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import typer

from cli.checks.finding import Finding, Level, bad
from cli.checks.machine import check_certificates, check_keys, check_settings
from cli.checks.outside import check_hosts, check_journal
from cli.checks.suite import (
    check_connections,
    check_ring,
    check_schedule,
    check_services,
    check_tokens,
)
from cli.failures import Status, next_step
from cli.options import AsJson, examples
from cli.output import print_json, say
from cli.services import Services, ask
from cli.settings import ClientSettings, client_settings, environment
from cli.views.findings import finding_lines
from libs.clock import SystemClock
from libs.errors import ServerMisconfig, TokhubError

EXAMPLES = examples("tokhub doctor", "tokhub doctor --json | jq '.[] | select(.level != \"good\")'")


def doctor(*, as_json: AsJson = False) -> None:
    """Look at settings, keys, certificates, services, database, clock, TikTok's hosts and the journal.

    The exit status is 1 when something has to be mended.
    """
    findings = examine(environment(Path.cwd()), client_settings())
    if as_json:
        print_json([vars(finding) for finding in findings])
    else:
        for line in finding_lines(findings):
            say(line)
    raise typer.Exit(Status.SOME_FAILED if any(one.level is Level.BAD for one in findings) else Status.DONE)


def examine(environ: Mapping[str, str], settings: ClientSettings) -> list[Finding]:
    """Return all findings."""
    now = SystemClock().now()
    findings = [*check_settings(settings, environ), *check_keys(environ), *check_certificates(settings, now)]
    try:
        findings += ask(lambda services: examine_services(services, settings))
    except ServerMisconfig as error:
        findings.append(bad("certificate", error.message, "The services cannot be asked before that."))
    return findings + asyncio.run(examine_outside(environ))


async def examine_services(services: Services, settings: ClientSettings) -> list[Finding]:
    """Return what the services say; more than their health is asked when both serve."""
    findings = await check_services(services, settings)
    if all(one.level is Level.GOOD for one in findings):
        findings += await gathered(check_tokens(services, SystemClock()))
        findings += await gathered(check_ring(services))
        findings += await gathered(check_connections(services))
        findings += await gathered(check_schedule(services))
    return findings


async def examine_outside(environ: Mapping[str, str]) -> list[Finding]:
    """Return what is seen over HTTP."""
    return [*await check_journal(environ), *await check_hosts(environ)]


async def gathered(check: AsyncIterator[Finding]) -> list[Finding]:
    """Return what a check finds, an error among it."""
    try:
        return [finding async for finding in check]
    except TokhubError as error:
        return [bad("services", error.message, next_step(error))]
