import pytest

from libs.secret import Secret
from libs.tiktok.shop_sign import shop_sign

SECRET = "e59af819cc"
SHOPS = "/authorization/202309/shops"
ORDERS = "/order/202309/orders/search"
NOW = {"timestamp": "1623812664"}
ORDER_PAGE = {
    "app_key": "29a39d",
    "page_size": "100",
    "page_token": "6AsPQsUMvH3RkchNUPPh22NROHkE0D8pmq/N5M1kHYcZmtRyv9aVrNv65W7Q6tFA+7D1ud64MPNz5OaT",
    "shop_cipher": "GCP_XF90igAAAABh00qsWgtvOiGFNqyubMt3",
    **NOW,
}
WEBHOOKS = {"app_key": "68xu9ks5p4i8", "shop_cipher": "ROW_xkMbgAAAeVAQra0eZWebFQq5aIKt", "timestamp": "1696909648"}
ADDRESS = b'{"address":"https://partner.tiktokshop.com","event_type":"PACKAGE_UPDATE"}'
FEW = {"app_key": "29a39d", "page_size": "20", **NOW}

VECTORS = {
    "V1": (
        SECRET,
        SHOPS,
        {"app_key": "29a39d", **NOW},
        b"",
        "b596b73e0cc6de07ac26f036364178ab16b0a907af13d43f0a0cd2345f582dc8",
    ),
    "V2": (
        SECRET,
        "/event/202309/webhooks",
        WEBHOOKS,
        ADDRESS,
        "a75b9c8cd57140cab6dc95bf31c37bd6ffface74210768b6517c0ff81659b0ba",
    ),
    "V3": (
        SECRET,
        ORDERS,
        ORDER_PAGE,
        b'{"order_status":"UNPAID"}',
        "6b55918cfea8c0a45c2e533b88a5d8c2c379f23ded442d71d9be1fa86d28f73e",
    ),
    "V4": (
        "app_secret",
        "/test-api",
        {"foo": "bar"},
        b"",
        "d3cb7fe11ecae942802ceeca67e7cf10120cc12f1517d45fbc1c8cfe5413c80f",
    ),
    "V5a": (SECRET, ORDERS, FEW, b"", "158969156574d32ab63b40ab1c7713305332aa48154fbfba6faa3c2ea4d82644"),
    "V5b": (SECRET, ORDERS, FEW, b"{}", "b8d4dff979da47dfdc5cf2a739dfa9756b6e63cf92c79c9190dc85b42e22d395"),
}


@pytest.mark.parametrize("name", VECTORS)
def test_the_known_signatures_come_out(name: str) -> None:
    secret, path, query, body, sign = VECTORS[name]
    assert shop_sign(Secret(secret), path, query, body) == sign


def test_neither_a_sign_nor_a_token_in_the_query_is_signed() -> None:
    secret, path, query, body, sign = VECTORS["V1"]
    assert shop_sign(Secret(secret), path, {**query, "sign": "x", "access_token": "y"}, body) == sign
