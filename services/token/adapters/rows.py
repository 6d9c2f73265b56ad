"""The columns of a connection and what they mean."""

from collections.abc import Mapping
from typing import Any

from services.token.core.connections import Held
from services.token.domain.connection import Connection, Owner, OwnerKind, Provider, Status, Version
from services.token.domain.shop import Shop

COLUMNS = """
    id, number, provider, owner_kind, owner_id, team_id, account_id, status, reason, scopes, epoch, generation,
    access_token, access_expires_at, refresh_expires_at, connected_at, updated_at,
    extract(epoch FROM access_expires_at - received_at)::float8 AS access_life,
    extract(epoch FROM access_expires_at - clock_timestamp())::float8 AS seconds_left,
    greatest(extract(epoch FROM next_attempt_at - clock_timestamp()), 0)::float8 AS retry_in,
    CASE WHEN provider = 'tiktok_shop' THEN (
        SELECT json_agg(shops ORDER BY number) FROM shops WHERE connection_id = id AND shop_id IS NOT NULL
    ) END AS shops
"""

FIND_BY_ID = f"SELECT {COLUMNS} FROM connections WHERE id = $1"


def is_reduced(reason: str, had: str, given: str) -> str:
    """Return whether a refresh leaves a connection with less than it had, or no more than when it was last said so.

    An answer that names no scopes says nothing about them.
    """
    return f"""(cardinality({given}) > 0 AND NOT {given} @> {had}
        OR {reason} = 'scope_reduced' AND cardinality({given}) <= cardinality({had}))"""


def connection_of(row: Any) -> Connection:
    """Return the connection of a row of COLUMNS."""
    return Connection(
        id=row["id"],
        number=row["number"],
        provider=Provider(row["provider"]),
        owner=owner_of(row),
        team_id=row["team_id"],
        account_id=row["account_id"],
        status=Status(row["status"]),
        reason=row["reason"],
        scopes=tuple(row["scopes"]),
        version=Version(epoch=row["epoch"], generation=row["generation"]),
        access_expires_at=row["access_expires_at"],
        refresh_expires_at=row["refresh_expires_at"],
        access_life=row["access_life"],
        seconds_left=row["seconds_left"],
        retry_in=row["retry_in"] or 0.0,
        connected_at=row["connected_at"],
        updated_at=row["updated_at"],
        shops=tuple(shop_of(shop) for shop in row["shops"] or ()),
    )


def owner_of(row: Any) -> Owner:
    """Return whom the connection of a row belongs to."""
    return Owner(kind=OwnerKind(row["owner_kind"]), id=row["owner_id"])


def shop_of(row: Mapping[str, Any]) -> Shop:
    """Return the shop of a row of shops."""
    return Shop(
        id=row["shop_id"],
        cipher=row["cipher"],
        name=row["name"],
        region=row["region"],
        seller_type=row["seller_type"],
        number=row["number"],
    )


def held_of(row: Any) -> Held:
    """Return the connection of a row with its sealed access token."""
    return Held(connection=connection_of(row), access=row["access_token"])
