import pytest

from sandbox.shop_signing import shop_sign

SECRET = "e59af819cc"
SHOPS = {"app_key": "29a39d", "timestamp": "1623812664"}
ORDERS = {"app_key": "29a39d", "page_size": "20", "timestamp": "1623812664"}
PAGE_TOKEN = "6AsPQsUMvH3RkchNUPPh22NROHkE0D8pmq/N5M1kHYcZmtRyv9aVrNv65W7Q6tFA+7D1ud64MPNz5OaT"
CIPHER = "GCP_XF90igAAAABh00qsWgtvOiGFNqyubMt3"
V1 = "b596b73e0cc6de07ac26f036364178ab16b0a907af13d43f0a0cd2345f582dc8"
V2 = "a75b9c8cd57140cab6dc95bf31c37bd6ffface74210768b6517c0ff81659b0ba"
V3 = "6b55918cfea8c0a45c2e533b88a5d8c2c379f23ded442d71d9be1fa86d28f73e"
V4 = "d3cb7fe11ecae942802ceeca67e7cf10120cc12f1517d45fbc1c8cfe5413c80f"
V5A = "158969156574d32ab63b40ab1c7713305332aa48154fbfba6faa3c2ea4d82644"
V5B = "b8d4dff979da47dfdc5cf2a739dfa9756b6e63cf92c79c9190dc85b42e22d395"
WEBHOOK = {"app_key": "68xu9ks5p4i8", "shop_cipher": "ROW_xkMbgAAAeVAQra0eZWebFQq5aIKt", "timestamp": "1696909648"}
WEBHOOK_BODY = b'{"address":"https://partner.tiktokshop.com","event_type":"PACKAGE_UPDATE"}'
PAGED = {"app_key": "29a39d", "page_size": "100", "page_token": PAGE_TOKEN, "shop_cipher": CIPHER}


@pytest.mark.parametrize(
    ("path", "params", "body", "sign"),
    [
        ("/authorization/202309/shops", SHOPS, b"", V1),
        ("/authorization/202309/shops", {**SHOPS, "sign": "x", "access_token": "y"}, b"", V1),
        ("/event/202309/webhooks", WEBHOOK, WEBHOOK_BODY, V2),
        ("/order/202309/orders/search", {**PAGED, "timestamp": "1623812664"}, b'{"order_status":"UNPAID"}', V3),
        ("/order/202309/orders/search", ORDERS, b"", V5A),
        ("/order/202309/orders/search", ORDERS, b"{}", V5B),
    ],
)
def test_published_signatures_come_out(path: str, params: dict[str, str], body: bytes, sign: str) -> None:
    assert shop_sign(SECRET, path, params, body) == sign


def test_the_signature_of_a_library_comes_out() -> None:
    assert shop_sign("app_secret", "/test-api", {"foo": "bar"}) == V4
