"""What an environment says of TikTok Shop: its app, tokens as TIKTOK_SHOP1_ACCESS_TOKEN, and names not read here."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from pydantic import ValidationInfo

from libs.secret import Secret

# Names of another TikTok Shop integration: taken silently, they would leave its users on hosts they did not choose.
FOREIGN: Mapping[str, str] = MappingProxyType(
    {
        "TIKTOK_BASE_URL": "set TIKTOK_SHOP_API_BASE_URL instead",
        "TIKTOK_AUTH_URL": "set TIKTOK_SHOP_AUTHORIZE_URL instead",
        "TIKTOK_TOKEN_URL": "set TIKTOK_SHOP_TOKEN_BASE_URL instead, without the path",
        "TIKTOK_API_VERSION": "remove it; TIKTOK_SHOP_API_BASE_URL names the host, and tokhub the version of each call",
    }
)

VARIABLE = re.compile(r"TIKTOK_SHOP([1-9][0-9]{0,5})_(ACCESS_TOKEN|REFRESH_TOKEN|SHOP_CIPHER|NAME|TEAM_ID)")


def whole_shop_app(service_id: str | None, info: ValidationInfo) -> str | None:
    """Return the last part of a Shop app's credentials; ValueError when only some of them are set."""
    parts = (info.data.get("tiktok_shop_app_key"), info.data.get("tiktok_shop_app_secret"), service_id)
    if any(parts) and not all(parts):
        raise ValueError(
            "set all of TIKTOK_SHOP_APP_KEY, TIKTOK_SHOP_APP_SECRET and TIKTOK_SHOP_SERVICE_ID, or none of them"
        )
    return service_id


@dataclass(frozen=True, kw_only=True)
class ListedShop:
    """One numbered shop as it is listed; what is not set is empty."""

    number: int
    access_token: Secret
    refresh_token: Secret
    cipher: str
    name: str
    team_id: int | None


def listed_shops(environ: Mapping[str, str]) -> Sequence[ListedShop]:
    """Return the shops that an environment lists, by number; a TEAM_ID that is no number is left out."""
    found: dict[int, dict[str, str]] = {}
    for name, value in environ.items():
        if match := VARIABLE.fullmatch(name):
            found.setdefault(int(match[1]), {})[match[2]] = value.strip()
    return [listed_shop(number, values) for number, values in sorted(found.items()) if any(values.values())]


def listed_shop(number: int, values: Mapping[str, str]) -> ListedShop:
    """Return a shop of its variables."""
    team = values.get("TEAM_ID", "")
    return ListedShop(
        number=number,
        access_token=Secret(values.get("ACCESS_TOKEN", "")),
        refresh_token=Secret(values.get("REFRESH_TOKEN", "")),
        cipher=values.get("SHOP_CIPHER", ""),
        name=values.get("NAME", ""),
        team_id=int(team) if team.isascii() and team.isdigit() and len(team) < 16 else None,
    )
