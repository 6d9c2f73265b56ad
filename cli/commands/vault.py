"""`tokhub vault`: the keys that seal tokens, changing them while they are in use, and whether every token opens."""

import sys
from collections.abc import Callable

import typer
from tokhub.token.v1 import vault_pb2

from cli.failures import Status
from cli.options import AsJson, DryRun, examples
from cli.output import open_console, plain, print_json, print_json_line, say, show
from cli.services import Services, ask
from cli.views.vault import (
    findings_table,
    keys_table,
    left_text,
    ring_notes,
    rotated_text,
    rotation_row,
    to_rotate_text,
    verified_text,
)
from libs.errors import UpstreamUnavailable
from libs.runs.display import open_display

group = typer.Typer(no_args_is_help=True, help="The keys that seal tokens (docs/vault.md).")


@group.command(epilog=examples("tokhub vault status"))
def status(*, as_json: AsJson = False) -> None:
    """Show the keys, which one seals, how much each is used, and which replicas know it."""
    ring = key_ring()
    if as_json:
        print_json(plain(ring))
        return
    show(keys_table(ring), empty="No key yet: a token service brings one.")
    for note in ring_notes(ring):
        say(note)


def key_ring() -> vault_pb2.GetKeyRingResponse:
    """Return the keys."""
    return ask(lambda services: services.token.vault.GetKeyRing(vault_pb2.GetKeyRingRequest()))


@group.command(epilog=examples("tokhub vault rotate --dry-run", "tokhub vault rotate"))
def rotate(*, dry_run: DryRun = False, as_json: AsJson = False) -> None:
    """Seal every token with the active key, while tokens are read and refreshed; started again, it goes on.

    The exit status is 1 when some tokens do not open.
    """
    if dry_run:
        ring = key_ring()
        if as_json:
            print_json(plain(ring))
        else:
            say(to_rotate_text(ring))
        return
    try:
        summary = ask(rotating_as_lines if as_json else rotating)
    except KeyboardInterrupt:
        sys.stderr.write(left_text())
        raise typer.Exit(Status.INTERRUPTED) from None
    if not as_json:
        say(rotated_text(summary))
    raise typer.Exit(Status.SOME_FAILED if summary.unreadable else Status.DONE)


async def rotating(services: Services) -> vault_pb2.RotationSummary:
    """Show how the rotation goes; return how it ended."""
    with open_display(open_console()) as display:
        return await rotated(services, lambda news: display.show([rotation_row(news.progress)]))


async def rotating_as_lines(services: Services) -> vault_pb2.RotationSummary:
    """Write each step as a line of JSON; return how it ended."""
    summary = await rotated(services, lambda news: print_json_line(plain(news)))
    print_json_line({"summary": plain(summary)})
    return summary


async def rotated(services: Services, see: Callable[[vault_pb2.RotateKeysResponse], None]) -> vault_pb2.RotationSummary:
    """Let every step be seen but the last, and return that; raise UpstreamUnavailable when it does not come."""
    summary = None
    # To its very end: a stream that is left is a call that was cancelled, in the audit trail too.
    async for news in services.token.vault.RotateKeys(vault_pb2.RotateKeysRequest()):
        if news.HasField("summary"):
            summary = news.summary
        else:
            see(news)
    if summary is None:
        raise UpstreamUnavailable("The rotation broke off before its end: start it again, and it goes on.")
    return summary


@group.command(epilog=examples("tokhub vault verify"))
def verify(*, as_json: AsJson = False) -> None:
    """Open every token, and every record of the journal of the replica that answers; nothing is changed.

    The exit status is 1 when something does not open.
    """
    found = ask(verifying)
    if as_json:
        print_json([plain(part) for part in found])
    else:
        if found[:-1]:
            show(findings_table(found[:-1]), empty="")
        say(verified_text(found[-1].summary))
    raise typer.Exit(Status.SOME_FAILED if found[:-1] else Status.DONE)


async def verifying(services: Services) -> list[vault_pb2.VerifyVaultResponse]:
    """Return what does not open, then the summary."""
    with open_console().status("opening every token"):
        parts = [part async for part in services.token.vault.VerifyVault(vault_pb2.VerifyVaultRequest())]
    if not parts or not parts[-1].HasField("summary"):
        raise UpstreamUnavailable("The verification broke off before its end: start it again.")
    return parts
