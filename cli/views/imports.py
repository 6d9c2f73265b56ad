"""Shops that are taken over, as people see them; never their tokens."""

from collections.abc import Iterable
from typing import Any

from rich.table import Table
from tokhub.token.v1 import token_pb2

from cli.output import new_table
from cli.words import NONE
from libs.tiktok.shop_environment import ListedShop


def listed_table(shops: Iterable[ListedShop]) -> Table:
    """Return a table of what the environment lists."""
    table = new_table("shop", "name", "team", "refresh token", "cipher", numbers=("shop", "team"))
    for shop in shops:
        given = ["given" if part else "missing" for part in (shop.refresh_token, shop.cipher)]
        team = NONE if shop.team_id is None else str(shop.team_id)
        table.add_row(str(shop.number), shop.name or NONE, team, *given)
    return table


def listed_plain(shop: ListedShop) -> dict[str, Any]:
    """Return a listed shop for programs, without its tokens."""
    return {
        "shopNumber": shop.number,
        "name": shop.name,
        "teamId": shop.team_id,
        "refreshTokenGiven": bool(shop.refresh_token),
    }


def imports_table(shops: Iterable[ListedShop], results: Iterable[token_pb2.ImportResult]) -> Table:
    """Return a table of what became of each shop."""
    table = new_table("shop", "name", "outcome", "connection", "what to know", numbers=("shop",))
    for shop, result in zip(shops, results, strict=True):
        outcome = token_pb2.ImportOutcome.Name(result.outcome).removeprefix("IMPORT_OUTCOME_")
        told = (outcome, result.connection_id or NONE, result.message)
        table.add_row(str(shop.number), shop.name or NONE, *told)
    return table
