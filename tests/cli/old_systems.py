"""Databases of the systems that people move in from, filled with grants that the sandbox has given."""

import base64
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tests.cli.operator_seat import OperatorSeat

KEY = bytes(range(1, 33))
CONNECTED = datetime(2026, 1, 2, 10, tzinfo=UTC)
Grant = dict[str, Any]

SHOPS = """
    CREATE SCHEMA credentials;
    CREATE TABLE credentials.refresh_tiktokshops_token (
        id serial PRIMARY KEY, shop_number integer NOT NULL UNIQUE, shop_name varchar(255), shop_id varchar(255),
        access_token text, refresh_token text, shop_cipher varchar(255),
        access_token_expire_in bigint, refresh_token_expire_in bigint, open_id varchar(255), seller_name varchar(255),
        seller_base_region varchar(10), shop_name_tiktok varchar(255),
        created_at timestamp DEFAULT now(), updated_at timestamp DEFAULT now());
    CREATE INDEX ON credentials.refresh_tiktokshops_token (shop_number);
"""
INTEGRATIONS = """
    CREATE TABLE tiktok_shop_integrations (
        id bigserial PRIMARY KEY, team_id bigint NOT NULL, status varchar(255) NOT NULL, access_token text,
        refresh_token text, access_token_expires_at timestamp(0), refresh_token_expires_at timestamp(0),
        error_message text, created_at timestamp(0), updated_at timestamp(0));
"""
SHOP_USERS = """
    CREATE TABLE tiktok_shop_auth (
        id text PRIMARY KEY, "userId" text NOT NULL UNIQUE, "shopId" text NOT NULL UNIQUE, "shopName" text,
        "accessToken" text NOT NULL, "refreshToken" text NOT NULL, "accessTokenExpiresAt" timestamp(3) NOT NULL,
        "refreshTokenExpiresAt" timestamp(3) NOT NULL, scope text, region text,
        "isActive" boolean NOT NULL DEFAULT true,
        "createdAt" timestamp(3) NOT NULL DEFAULT now(), "updatedAt" timestamp(3) NOT NULL,
        "deletedAt" timestamptz(6));
"""
CREATORS = """
    CREATE TABLE tiktok_account (
        id serial PRIMARY KEY, user_id varchar NOT NULL, tiktok_user_id varchar, username varchar, display_name varchar,
        avatar_url varchar, follower_count integer, following_count integer, like_count integer, video_count integer,
        access_token text, refresh_token text, access_token_expire_in bigint, refresh_token_expire_in bigint,
        is_active boolean, last_sync_at timestamp, connected_at timestamp, updated_at timestamp);
"""
STORES = """
    CREATE TABLE stores (
        store_code varchar(50) PRIMARY KEY, store_name varchar(255) NOT NULL, pic_name varchar(255) NOT NULL,
        pic_contact varchar(255), created_at timestamp DEFAULT now());
    CREATE TABLE store_accounts (
        id serial PRIMARY KEY, store_code varchar(50) REFERENCES stores (store_code),
        platform varchar(50) DEFAULT 'tiktok', account_identifier varchar(255), encrypted_access_token text,
        encrypted_refresh_token text, token_expires_at timestamp, refresh_token_expires_at timestamp,
        status varchar(50), connected_at timestamp, last_sync_time timestamp);
"""


@dataclass
class OldSystem:
    """A database of another system, without a session that stays open."""

    dsn: str
    address_file: Path

    async def execute(self, statement: str, *values: object) -> None:
        connection = await asyncpg.connect(self.dsn)
        try:
            await connection.execute(statement, *values)
        finally:
            await connection.close()

    async def fill(self, table: str, rows: Sequence[dict[str, Any]]) -> None:
        connection = await asyncpg.connect(self.dsn)
        try:
            await connection.execute(
                f"INSERT INTO {table} ({', '.join(json.dumps(name) for name in rows[0])}) "
                f"SELECT {', '.join(json.dumps(name) for name in rows[0])} "
                f"FROM jsonb_populate_recordset(NULL::{table}, $1)",
                json.dumps(rows, default=str),
            )
        finally:
            await connection.close()


def accounts(seat: OperatorSeat, first: int, count: int) -> list[Grant]:
    """Return new grants of accounts that no other test has."""
    return minted(seat, {"provider": "login", "first": first, "count": count})


def sellers(seat: OperatorSeat, first: int, count: int) -> list[Grant]:
    """Return new grants of sellers that no other test has."""
    return minted(seat, {"provider": "shop", "first": first, "count": count})


def minted(seat: OperatorSeat, wanted: dict[str, Any]) -> list[Grant]:
    answer = seat.sandbox.post("/sandbox/grants", json=wanted, timeout=60).raise_for_status()
    return [json.loads(line) for line in answer.text.splitlines()]


def one_blob(nonce: bytes, tag: bytes, text: bytes) -> str:
    return base64.b64encode(nonce + tag + text).decode()


def blob_with_its_tag_behind(nonce: bytes, tag: bytes, text: bytes) -> str:
    return (nonce + text + tag).hex()


def hex_with_colons(nonce: bytes, tag: bytes, text: bytes) -> str:
    return f"{nonce.hex()}:{tag.hex()}:{text.hex()}"


def hex_with_its_tag_behind(nonce: bytes, tag: bytes, text: bytes) -> str:
    return f"{nonce.hex()}:{text.hex()}:{tag.hex()}"


def base64_with_dots(nonce: bytes, tag: bytes, text: bytes) -> str:
    return ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in (nonce, text + tag))


Layout = Callable[[bytes, bytes, bytes], str]
LAYOUTS: Sequence[Layout] = (
    hex_with_colons,
    hex_with_its_tag_behind,
    one_blob,
    blob_with_its_tag_behind,
    base64_with_dots,
)


def sealed(token: str, layout: Layout, *, nonce_size: int = 12) -> str:
    """Return a token as another system keeps it."""
    nonce = os.urandom(nonce_size)
    both = AESGCM(KEY).encrypt(nonce, token.encode(), None)
    return layout(nonce, both[-16:], both[:-16])


def store_rows(grants: Sequence[Grant], prefix: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return rows of stores and of store_accounts, tokens sealed in all the ways there are."""
    stores, rows = [], []
    for number, grant in enumerate(grants):
        code, layout = f"{prefix}_{number:03}", LAYOUTS[number % len(LAYOUTS)]
        size = 12 if number % 2 else 16
        stores.append(
            {"store_code": code, "store_name": f"Toko {number}", "pic_name": "Budi", "pic_contact": f"{number}@example"}
        )
        rows.append(
            {
                "store_code": code,
                "account_identifier": grant["open_id"],
                "encrypted_access_token": sealed(grant["access_token"], layout, nonce_size=size),
                "encrypted_refresh_token": sealed(grant["refresh_token"], layout, nonce_size=size),
                "status": "CONNECTED",
                "platform": "tiktok",
                "connected_at": CONNECTED.replace(tzinfo=None),
            }
        )
    return stores, rows
