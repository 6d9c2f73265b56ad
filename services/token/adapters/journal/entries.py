"""Entries of the journal as bytes."""

import json
from datetime import datetime
from typing import Any
from uuid import UUID

from libs.secret import Secret
from services.token.core.journal import Entry
from services.token.domain.connection import Owner, OwnerKind, Provider, Version
from services.token.domain.grant import Grant


def write_entry(entry: Entry) -> bytes:
    """Return an entry as JSON; it holds tokens in the clear and is only ever sealed."""
    return json.dumps(
        {
            "connection": entry.connection_id.hex,
            "provider": entry.provider,
            "owner": [entry.owner.kind, entry.owner.id],
            "team": entry.team_id,
            "account": entry.account_id,
            "version": [entry.version.epoch, entry.version.generation],
            "grant": write_grant(entry.grant) if entry.grant else None,
            "received": entry.received_at.isoformat(),
        },
        separators=(",", ":"),
    ).encode()


def write_grant(grant: Grant) -> dict[str, Any]:
    """Return a grant as JSON's values."""
    return {
        "account": grant.account_id,
        "access": grant.access_token.reveal(),
        "access_seconds": grant.access_seconds,
        "access_given": grant.access_given,
        "refresh": grant.refresh_token.reveal(),
        "refresh_seconds": grant.refresh_seconds,
        "refresh_given": grant.refresh_given,
        "scopes": grant.scopes,
    }


def read_entry(body: bytes) -> Entry:
    """Return the entry of a body."""
    content: dict[str, Any] = json.loads(body)
    kind, owner = content["owner"]
    epoch, generation = content["version"]
    provider = Provider(content["provider"])
    return Entry(
        connection_id=UUID(hex=content["connection"]),
        provider=provider,
        owner=Owner(kind=OwnerKind(kind), id=owner),
        team_id=content["team"],
        account_id=content["account"],
        version=Version(epoch=epoch, generation=generation),
        grant=read_grant(provider, content["grant"]) if content["grant"] else None,
        received_at=datetime.fromisoformat(content["received"]),
    )


def read_grant(provider: Provider, content: dict[str, Any]) -> Grant:
    """Return a grant from JSON's values."""
    return Grant(
        provider=provider,
        account_id=content["account"],
        access_token=Secret(content["access"]),
        access_seconds=content["access_seconds"],
        access_given=content["access_given"],
        refresh_token=Secret(content["refresh"]),
        refresh_seconds=content["refresh_seconds"],
        refresh_given=content["refresh_given"],
        scopes=tuple(content["scopes"]),
    )
