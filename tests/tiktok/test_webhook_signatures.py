import pytest

from libs.secret import Secret
from libs.tiktok.webhooks import login_signature, shop_signature_fits

LOGIN_BODY = (
    b'{"client_key":"bwo2m45353a6k85","event":"authorization.removed","create_time":1615338610,'
    b'"user_openid":"act.example12345Example12345Example","content":"{\\"reason\\": 1 }"}'
)
LOGIN_DIGEST = "39c29244091b6bb0d67eca735a97218805842b7c8cea52dde8296f6c0c36ae09"
LOGIN_SECRET = Secret("test_client_secret")
SHOP_BODY = (
    b'{"type":1,"tts_notification_id":"7380066284010030890","shop_id":"7495540735365777507","timestamp":1718305585,'
    b'"data":{"is_on_hold_order":true,"order_id":"576653688135258178","order_status":"UNPAID",'
    b'"update_time":1718305585}}'
)
SHOP_DIGEST = "5dec0f11ec2f6783b8deee53c9ffbf8d024302f7c7e7fa55a35d17629031ac05"
GONE_BODY = (
    b'{"type":6,"tts_notification_id":"7327112393057371910","shop_id":"7494049642642441621","timestamp":1644412885,'
    b'"data":{"message":"Shop_id {xxx} is deauthorized from your APP by merchant."}}'
)
GONE_DIGEST = "22a6c3eeec43dc571759a2b81e89c4d5cb08a2468dfbd25ad600577cf0748f98"


def login_fits(header: str, body: bytes = LOGIN_BODY, secret: Secret = LOGIN_SECRET) -> bool:
    signature = login_signature(header)
    return signature is not None and signature.fits(secret, body)


@pytest.mark.parametrize("header", [f"t=1633174587,s={LOGIN_DIGEST}", f"s={LOGIN_DIGEST}, v=2, t=1633174587"])
def test_a_login_kit_signature_fits_in_any_order(header: str) -> None:
    assert login_fits(header)


@pytest.mark.parametrize(
    "header",
    [
        "",
        LOGIN_DIGEST,
        "t=1633174587",
        f"s={LOGIN_DIGEST}",
        f"t=1633174588,s={LOGIN_DIGEST}",
        f"t=01633174587,s={LOGIN_DIGEST}",
        f"t=١٦٣٣١٧٤٥٨٧,s={LOGIN_DIGEST}",
        f"t=-1633174587,s={LOGIN_DIGEST}",
        f"t=1633174587,s={LOGIN_DIGEST[:-1]}",
        f"t=1633174587,s={LOGIN_DIGEST.upper()}",
        f"t=1633174587,s={LOGIN_DIGEST},s={LOGIN_DIGEST}",
        "t=1633174587,s=é",
    ],
)
def test_any_other_login_kit_header_is_refused(header: str) -> None:
    assert not login_fits(header)


def test_a_login_kit_signature_is_of_one_body_and_secret() -> None:
    header = f"t=1633174587,s={LOGIN_DIGEST}"
    assert not login_fits(header, LOGIN_BODY.replace(b"1 }", b"2 }"))
    assert not login_fits(header, LOGIN_BODY + b"\n")
    assert not login_fits(header, secret=Secret("test_client_secreT"))


@pytest.mark.parametrize(("body", "digest"), [(SHOP_BODY, SHOP_DIGEST), (GONE_BODY, GONE_DIGEST)])
def test_the_published_shop_signatures_fit(body: bytes, digest: str) -> None:
    assert shop_signature_fits("abcdef", Secret("123"), body, digest)


@pytest.mark.parametrize("header", ["", f"Bearer {SHOP_DIGEST}", SHOP_DIGEST.upper(), GONE_DIGEST, "é"])
def test_any_other_shop_header_is_refused(header: str) -> None:
    assert not shop_signature_fits("abcdef", Secret("123"), SHOP_BODY, header)


def test_a_shop_signature_is_of_one_app_and_the_very_bytes() -> None:
    reordered = SHOP_BODY.replace(b'"type":1,', b"").replace(b'"data":', b'"type":1,"data":')
    assert not shop_signature_fits("abcdef", Secret("123"), reordered, SHOP_DIGEST)
    assert not shop_signature_fits("abcdeg", Secret("123"), SHOP_BODY, SHOP_DIGEST)
    assert not shop_signature_fits("abcdef", Secret("124"), SHOP_BODY, SHOP_DIGEST)
