"""The tables of other systems, and what each of their rows is to tokhub."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from tokhub.sync.v1 import sync_pb2
from tokhub.token.v1 import token_pb2

Record = Mapping[str, Any]
NUMBER = re.compile(r"[0-9]{1,9}")
# Twice what the token service refreshes at once: how much an old system that wakes up can still spoil.
AT_ONCE = 40


class OldTable(StrEnum):
    """A table of another system, as people there call it."""

    SHOPS = "refresh_tiktokshops_token"
    INTEGRATIONS = "tiktok_shop_integrations"
    SHOP_USERS = "tiktok_shop_auth"
    CREATORS = "tiktok_account"
    STORES = "store_accounts"


@dataclass(frozen=True, kw_only=True)
class OldRow:
    """A row as it is imported, its refresh token as it stands in it; one that is not taken over says why."""

    kind: str
    key: str
    entry: token_pb2.ImportEntry = field(repr=False)
    left_because: str = ""

    @property
    def name(self) -> str:
        """Return how people call it."""
        return f"{self.kind} {self.key}"


@dataclass(frozen=True, kw_only=True)
class Form:
    """How a table is read and imported: its place, its columns, what a record becomes, how many at once."""

    place: str
    columns: Sequence[str]
    order: str
    row_of: Callable[[Record], OldRow]
    at_once: int = AT_ONCE


def shop_of(record: Record) -> OldRow:
    """Return a shop that was refreshed by hand."""
    entry = token_pb2.ImportEntry(
        refresh_token=text(record, "refresh_token"),
        shop_cipher=text(record, "shop_cipher"),
        name=text(record, "shop_name"),
        shop_number=number_of(record, "shop_number") or 0,
        connect_seconds=seconds_of(record.get("created_at")),
    )
    return OldRow(kind="shop", key=text(record, "shop_number"), entry=entry)


def integration_of(record: Record) -> OldRow:
    """Return a shop of a team."""
    entry = token_pb2.ImportEntry(
        refresh_token=text(record, "refresh_token"),
        shop_cipher=text(record, "shop_cipher"),
        name=text(record, "shop_name"),
        team_id=number_of(record, "team_id"),
        owner=token_pb2.Owner(kind=token_pb2.OWNER_KIND_STORE, id=f"integration-{record['id']}"),
        connect_seconds=seconds_of(record.get("created_at")),
    )
    status = text(record, "status")
    left = "" if status == "active" else f"its status is {status or 'not set'}"
    return OldRow(kind="integration", key=str(record["id"]), entry=entry, left_because=left)


def shop_user_of(record: Record) -> OldRow:
    """Return the shop of a user."""
    entry = token_pb2.ImportEntry(
        refresh_token=text(record, "refreshToken"),
        owner=token_pb2.Owner(kind=token_pb2.OWNER_KIND_USER, id=text(record, "userId")),
        shop_id=text(record, "shopId"),
        connect_seconds=seconds_of(record.get("createdAt")),
    )
    left = "" if record["isActive"] and not record.get("deletedAt") else "it was disconnected"
    return OldRow(kind="user", key=text(record, "userId"), entry=entry, left_because=left)


def creator_of(record: Record) -> OldRow:
    """Return the TikTok account of a creator."""
    entry = token_pb2.ImportEntry(
        provider=token_pb2.PROVIDER_LOGIN_KIT,
        refresh_token=text(record, "refresh_token"),
        owner=token_pb2.Owner(kind=token_pb2.OWNER_KIND_USER, id=text(record, "user_id")),
        connect_seconds=seconds_of(record.get("connected_at")),
    )
    left = "" if record["is_active"] else "it was disconnected"
    return OldRow(kind="user", key=text(record, "user_id"), entry=entry, left_because=left)


def store_account_of(record: Record) -> OldRow:
    """Return the TikTok account of a store."""
    entry = token_pb2.ImportEntry(
        provider=token_pb2.PROVIDER_LOGIN_KIT,
        refresh_token=text(record, "encrypted_refresh_token"),
        owner=token_pb2.Owner(kind=token_pb2.OWNER_KIND_STORE, id=text(record, "store_code")),
        connect_seconds=seconds_of(record.get("connected_at")),
    )
    status, platform = text(record, "status"), text(record, "platform")
    left = "" if status == "CONNECTED" else f"its status is {status or 'not set'}"
    if platform not in ("", "tiktok"):
        left = f"its platform is {platform}"
    return OldRow(kind="store", key=text(record, "store_code"), entry=entry, left_because=left)


def store_of(record: Record) -> sync_pb2.CreateStoreRequest:
    """Return a store and whom to ask for there."""
    return sync_pb2.CreateStoreRequest(
        store_code=text(record, "store_code"),
        store_name=text(record, "store_name"),
        pic_name=text(record, "pic_name"),
        pic_contact=text(record, "pic_contact") or None,
    )


FORMS: Mapping[OldTable, Form] = MappingProxyType(
    {
        OldTable.SHOPS: Form(
            place="credentials.refresh_tiktokshops_token",
            columns=("shop_number", "refresh_token"),
            order="shop_number",
            row_of=shop_of,
            # Together: a seller's further shops, once they are learnt, would take numbers of rows that come later.
            at_once=1000,
        ),
        OldTable.INTEGRATIONS: Form(
            place="tiktok_shop_integrations",
            columns=("id", "team_id", "status", "refresh_token"),
            order="id",
            row_of=integration_of,
        ),
        OldTable.SHOP_USERS: Form(
            place="tiktok_shop_auth",
            columns=("userId", "shopId", "refreshToken", "isActive"),
            order="userId",
            row_of=shop_user_of,
        ),
        OldTable.CREATORS: Form(
            place="tiktok_account",
            columns=("user_id", "refresh_token", "is_active"),
            order="user_id",
            row_of=creator_of,
        ),
        OldTable.STORES: Form(
            place="store_accounts",
            columns=("store_code", "encrypted_refresh_token", "status"),
            order="store_code",
            row_of=store_account_of,
        ),
    }
)
STORE_COLUMNS = ("store_code", "store_name", "pic_name")


def text(record: Record, column: str) -> str:
    """Return what a column holds as text; empty for one that is NULL or not there."""
    value = record.get(column)
    return "" if value is None else str(value)


def number_of(record: Record, column: str) -> int | None:
    """Return what a column holds as a number; None for NULL, and one that no service takes for what is none."""
    value = text(record, column)
    if not value:
        return None
    return int(value) if NUMBER.fullmatch(value) else -1


def seconds_of(value: object) -> int:
    """Return a time in Unix seconds, 0 for none; one without a zone is in UTC."""
    if not isinstance(value, str):
        return 0
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return 0
    return max(int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()), 0)
