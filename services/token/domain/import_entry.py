"""One account's tokens from elsewhere, as a list of them names it, and what may be wrong with that."""

import re
from dataclasses import dataclass, field

from libs.secret import Secret
from services.token.domain.connection import Owner, OwnerKind, Provider

TOKEN = re.compile(r"[!-~]{1,4096}")
OPTIONAL_TOKEN = re.compile(r"[!-~]{0,4096}")
CIPHER = re.compile(r"[!-~]{0,255}")
SHOP_ID = re.compile(r"[A-Za-z0-9_-]{0,64}")
OWNER_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
LARGEST_NUMBER = 1_000_000
LARGEST_TEAM = 1 << 53
LARGEST_TIME = 1 << 35


@dataclass(frozen=True, kw_only=True)
class ImportEntry:
    """One account's tokens; a shop_number of 0 and an empty shop_id are none, connected_at is in Unix seconds or 0."""

    provider: Provider
    access_token: Secret
    refresh_token: Secret
    cipher: str = field(repr=False)
    name: str
    team_id: int
    shop_number: int
    shop_id: str
    owner: Owner | None
    connected_at: int


def fault_of(entry: ImportEntry) -> str:
    """Return what is wrong with an entry, for people; empty when nothing is."""
    if not TOKEN.fullmatch(entry.refresh_token.reveal()):
        return "refresh_token is missing or is no token."
    if not OPTIONAL_TOKEN.fullmatch(entry.access_token.reveal()):
        return "access_token is no token."
    if len(entry.name) > 255 or "\x00" in entry.name:
        return "name is longer than 255 characters or holds a NUL."
    if not (0 <= entry.team_id <= LARGEST_TEAM and 0 <= entry.connected_at <= LARGEST_TIME):
        return "team_id or connect_seconds is out of range."
    return fault_of_shop(entry) or fault_of_owner(entry)


def fault_of_shop(entry: ImportEntry) -> str:
    """Return what is wrong with what an entry says of its shop."""
    if not CIPHER.fullmatch(entry.cipher):
        return "shop_cipher is no cipher."
    if not SHOP_ID.fullmatch(entry.shop_id):
        return "shop_id is no shop's id."
    if not 0 <= entry.shop_number <= LARGEST_NUMBER:
        return "shop_number is out of range."
    has_shop = entry.cipher or entry.shop_id or entry.shop_number
    return "a Login Kit account has no shop." if has_shop and entry.provider is Provider.LOGIN_KIT else ""


def fault_of_owner(entry: ImportEntry) -> str:
    """Return what is wrong with an entry's owner."""
    if entry.owner is None:
        return "owner is missing." if entry.provider is Provider.LOGIN_KIT else ""
    return "" if OWNER_ID.fullmatch(entry.owner.id) else "owner.id must be 1 to 64 of A-Za-z0-9_-."


def owner_for(mark: bytes, entry: ImportEntry) -> Owner:
    """Return the owner of an entry that names none: a store called by the shop's number, else by the token's mark."""
    return Owner(kind=OwnerKind.STORE, id=f"tiktok-shop-{entry.shop_number or mark.hex()[:12]}")
