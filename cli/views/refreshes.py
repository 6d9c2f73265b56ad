"""A refresh of all tokens as people see it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.console import Console
from tokhub.token.v1 import token_pb2

from cli.options import Products
from libs.errors import TokhubError

WHOSE = {Products.SHOP: "TikTok Shop tokens", Products.LOGIN_KIT: "Login Kit tokens", Products.ALL: "all TikTok tokens"}
MARKS = {
    token_pb2.REFRESH_OUTCOME_REFRESHED: "✅",
    token_pb2.REFRESH_OUTCOME_SKIPPED: "⏭️ ",
    token_pb2.REFRESH_OUTCOME_FAILED: "❌",
}


@dataclass(kw_only=True)
class Refreshes:
    """What was heard of a refresh of all: each connection as it ended, the counts, and why there are none."""

    ended: list[token_pb2.RefreshedConnection] = field(default_factory=list)
    summary: token_pb2.RefreshSummary = field(default_factory=token_pb2.RefreshSummary)
    broken_off: TokhubError | None = None


def beginning(product: Products, *, dry_run: bool) -> str:
    """Return the first line."""
    return f"🔄 Refreshing {WHOSE[product]}{' (dry run: nothing is changed)' if dry_run else '...'}"


@contextmanager
def waiting() -> Iterator[Callable[[int], None]]:
    """Show on a terminal how many connections have ended while the others are waited for."""
    console = Console(stderr=True, highlight=False)
    with console.status("asking the token service") as status:
        yield lambda count: status.update(f"{count} connection(s) so far")


def report(heard: Refreshes, *, dry_run: bool) -> str:
    """Return how each connection ended, by number, and the counts."""
    found = [f"📊 Found {len(heard.ended)} integration(s)"]
    details = [f"   {line_of(one, dry_run=dry_run)}" for one in sorted(heard.ended, key=lambda one: one.number)]
    if details:
        found += ["", "📋 Details:", *details]
    return "\n".join(found if heard.broken_off else [*found, "", *counts(heard.summary, dry_run=dry_run)])


def line_of(one: token_pb2.RefreshedConnection, *, dry_run: bool) -> str:
    """Return how one connection ended."""
    return f"{MARKS[one.outcome]} Integration {one.number} (Team {one.team_id}): {outcome_of(one, dry_run=dry_run)}"


def outcome_of(one: token_pb2.RefreshedConnection, *, dry_run: bool) -> str:
    """Return what became of a connection, in words."""
    if one.outcome == token_pb2.REFRESH_OUTCOME_FAILED:
        return f"failed - {one.message}"
    if one.outcome == token_pb2.REFRESH_OUTCOME_SKIPPED:
        return f"skipped - {one.hours_left:.1f} hours are left of the token"
    if dry_run:
        return f"would be refreshed - {one.hours_left:.1f} hours are left of the token"
    return f"refreshed - expires {one.access_expire_time.ToDatetime():%d/%m/%Y %H:%M:%S} UTC"


def counts(summary: token_pb2.RefreshSummary, *, dry_run: bool) -> list[str]:
    """Return the last lines."""
    counted = {
        token_pb2.REFRESH_OUTCOME_REFRESHED: f"{'Would refresh' if dry_run else 'Refreshed'}: {summary.refreshed}",
        token_pb2.REFRESH_OUTCOME_SKIPPED: f"Skipped: {summary.skipped}",
        token_pb2.REFRESH_OUTCOME_FAILED: f"Failed: {summary.failed}",
    }
    return ["📈 Summary:", *(f"   {MARKS[outcome]} {text}" for outcome, text in counted.items())]
