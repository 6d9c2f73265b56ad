"""Stores as people see them."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from rich.table import Table
from tokhub.sync.v1 import sync_pb2
from tokhub.token.v1 import token_pb2

from cli.output import new_table, plain
from cli.words import NONE, moment
from libs.standing import connection_status

NUMBERS = ("followers", "videos")


@dataclass(frozen=True, kw_only=True)
class StoreRow:
    """A store and the connection that stands for it."""

    store: sync_pb2.Store
    connection: token_pb2.Connection | None

    def plain(self) -> dict[str, Any]:
        """Return both for programs."""
        return {
            "store": plain(self.store),
            "connectionStatus": connection_status(self.connection),
            "connection": plain(self.connection) if self.connection else None,
        }


def stores_table(rows: Iterable[StoreRow]) -> Table:
    """Return a table with a line for each store."""
    table = new_table("code", "name", "person", "connection", "last sync (UTC)", *NUMBERS, numbers=NUMBERS)
    for row in rows:
        latest = row.store.latest_user_stats
        table.add_row(
            row.store.store_code,
            row.store.store_name,
            row.store.pic_name,
            connection_status(row.connection),
            moment(row.store.last_sync_time),
            f"{latest.follower_count:,}" if latest.HasField("follower_count") else NONE,
            f"{latest.video_count:,}" if latest.HasField("video_count") else NONE,
        )
    return table


def link_text(link: token_pb2.StartAuthorizationResponse, code: str) -> str:
    """Return a link with what to do with it."""
    return (
        f"Send this to the owner of {code}; it works once, until {moment(link.expire_time)} UTC:\n{link.authorize_url}"
    )
