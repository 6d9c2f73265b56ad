"""Connections as people see them."""

from collections.abc import Iterable, Iterator
from types import MappingProxyType

from rich.table import Table
from tokhub.token.v1 import token_pb2

from cli.output import new_table
from cli.words import NONE, moment, owner_word, provider_word, status_word

REVOKED = MappingProxyType(
    {
        token_pb2.REVOCATION_DONE: "TikTok has ended the grant.",
        token_pb2.REVOCATION_PENDING: "TikTok could not be asked to end the grant yet: that is tried for seven days.",
        token_pb2.REVOCATION_NOT_SUPPORTED: "Only its seller can end the grant, in Seller Center.",
    }
)


def connections_table(connections: Iterable[token_pb2.Connection]) -> Table:
    """Return a table with a line for each connection."""
    table = new_table(
        *("number", "owner", "product", "status", "reason", "team", "shops", "token ends (UTC)", "consent ends (UTC)"),
        numbers=("number", "team"),
    )
    for one in connections:
        table.add_row(
            str(one.number),
            owner_word(one.owner),
            provider_word(one.provider),
            status_word(one.status),
            one.reason or NONE,
            str(one.team_id),
            ", ".join(f"{shop.number} {shop.name}" for shop in one.shops) or NONE,
            moment(one.access_expire_time),
            moment(one.refresh_expire_time),
        )
    return table


def connection_line(one: token_pb2.Connection) -> str:
    """Return a connection in a few words."""
    return (
        f"connection {one.number}, {owner_word(one.owner)} ({provider_word(one.provider)}, {status_word(one.status)})"
    )


def explanation_parts(told: token_pb2.ExplainConnectionResponse) -> Iterator[str | Table]:
    """Yield how a connection stands, then its timeline."""
    one = told.connection
    yield f"{connection_line(one)}, UUID {one.id}"
    yield told.explanation
    yield f"epoch {one.epoch}, generation {one.generation}, scopes: {', '.join(one.scopes) or 'none known'}"
    yield ""
    timeline = new_table("time (UTC)", "event", "what happened", "asked by", "request")
    for event in told.timeline:
        kind = token_pb2.ConnectionEventKind.Name(event.kind).removeprefix("CONNECTION_EVENT_KIND_")
        timeline.add_row(moment(event.time), kind, event.message, event.actor or NONE, event.request_id or NONE)
    yield timeline
    if told.next_page_token:
        yield "There are older events: ask for more with --events."


def revocation_text(ended: token_pb2.DisconnectResponse) -> str:
    """Return what became of a connection and its grant."""
    return f"Disconnected: {connection_line(ended.connection)}. {REVOKED.get(ended.revocation, '')}".rstrip()
