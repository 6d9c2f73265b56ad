"""Token answers of both products with any nonsense in them: never an error of ours, and no refresh token lost."""

import json
import random
from collections.abc import Callable
from typing import Any

import pytest

from libs.secret import Secret
from libs.tiktok import login_kit, shop
from libs.tiktok.token_answers import AppRefused, Garbled, Refused, Unusable
from libs.tiktok.transport import Answer

ANSWERS = 2_000
NONSENSE: list[Any] = [
    *("", " ", "123", "soon", "\ud800", "\x00", "x" * 20_000, "٣", "1e5", "[]"),
    *(0, -1, 1, 2**63, -(2**63), 10**12, 10**400, 1e308, -1e308, 0.5, float("nan"), float("inf")),
    *(None, True, False, [], [[]], ["x", None, 7], {}, {"code": "ok"}, {"x": {"x": []}}),
]
LOGIN: dict[str, Any] = {
    "access_token": "act.1",
    "expires_in": 7200,
    "open_id": "723f24d7",
    "refresh_expires_in": 15_552_000,
    "refresh_token": "rft.1",
    "scope": "user.info.basic,video.list",
    "token_type": "Bearer",
}
SHOP: dict[str, Any] = {
    "access_token": "TTP_1",
    "access_token_expire_in": 1_795_000_000,
    "refresh_token": "TTP_2",
    "refresh_token_expire_in": 4_841_467_787,
    "open_id": "7010736057180325637",
    "seller_name": "Jjj test shop",
    "user_type": 0,
    "granted_scopes": ["seller.product.physical"],
}
Read = Callable[[Answer], Any]
PRODUCTS: list[tuple[dict[str, Any], Read]] = [(LOGIN, login_kit.read_tokens), (SHOP, shop.read_tokens)]


def bent(whole: dict[str, Any], dice: random.Random, *untouched: str) -> dict[str, Any]:
    """Return an answer with nonsense in some fields and without others."""
    odd = dict(whole)
    for name in dice.sample(sorted(set(whole) - set(untouched)), dice.randint(1, 5)):
        if dice.random() < 0.2:
            del odd[name]
        else:
            odd[name] = dice.choice(NONSENSE)
    return odd


def answer(fields: dict[str, Any], whole: dict[str, Any]) -> Answer:
    body = {"code": 0, "message": "success", "data": fields} if whole is SHOP else fields
    return Answer(status=200, headers={}, body=json.dumps(body).encode())


@pytest.mark.parametrize(("whole", "read"), PRODUCTS, ids=["login_kit", "shop"])
def test_nonsense_is_read_or_told_as_what_it_is(whole: dict[str, Any], read: Read) -> None:
    dice = random.Random(9)
    for _ in range(ANSWERS):
        fields = bent(whole, dice)
        try:
            tokens = read(answer(fields, whole))
        except (Refused, AppRefused, Unusable, Garbled):
            continue
        assert tokens.access_token or tokens.refresh_token, fields


@pytest.mark.parametrize(("whole", "read"), PRODUCTS, ids=["login_kit", "shop"])
def test_a_refresh_token_survives_any_nonsense_around_it(whole: dict[str, Any], read: Read) -> None:
    dice = random.Random(11)
    for _ in range(ANSWERS):
        fields = bent(whole, dice, "refresh_token")
        assert read(answer(fields, whole)).refresh_token == Secret(whole["refresh_token"]), fields
