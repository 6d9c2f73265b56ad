"""tiktok-shop-api: TikTok Shop's consent, tokens and shops, at the address it is given."""

import json
import sys
from collections.abc import Callable
from urllib.parse import parse_qs, urlsplit

from tiktok_shop_api import TikTokShop, TikTokShopAuth
from tiktok_shop_api.errors import TikTokShopError

KEY, SECRET, SERVICE = "6sandboxshop", "CNRYsandboxshopsecret", "7400000000000000001"
sandbox = sys.argv[1]


def code_of(call: Callable[[], object]) -> int:
    try:
        call()
    except TikTokShopError as error:
        return error.code
    return 0


def shops(access_token: str) -> list[dict[str, str]]:
    with TikTokShop(KEY, SECRET, access_token=access_token, base_url=sandbox) as client:
        found: list[dict[str, str]] = client.authorization.get_authorized_shops().to_dict()["data"]["shops"]
        return found


auth = TikTokShopAuth(KEY, SECRET, service_id=SERVICE, base_url=sandbox)
print(auth.authorization_url(type="seller", region="us", state="csrf-token"), flush=True)
code = parse_qs(urlsplit(input()).query)["code"][0]
first = auth.exchange_code(code)
second = auth.refresh(first.refresh_token)
seen = {
    "open_id": first.open_id,
    "expires": [first.access_token_expire_in, first.refresh_token_expire_in],
    "shops": shops(second.access_token),
    "code_again": code_of(lambda: auth.exchange_code(code)),
    "old_refresh_token": code_of(lambda: auth.refresh(first.refresh_token)),
    "wrong_token": code_of(lambda: shops("TTP_unknown")),
}
print(json.dumps(seen))
