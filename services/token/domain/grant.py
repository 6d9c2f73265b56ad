"""A grant: the tokens TikTok gave for one account."""

from dataclasses import dataclass, replace

from libs.secret import Secret
from services.token.domain.connection import Provider
from services.token.domain.shop import Shop

# Without them a connection is of no use.
SCOPES_REQUIRED = {Provider.LOGIN_KIT: ("user.info.basic", "user.info.stats")}


@dataclass(frozen=True, kw_only=True)
class Grant:
    """Tokens with their lifetimes in seconds, counted from when the request for them was sent.

    What was given is what the provider said of their ends, as it said it: seconds, or a Unix time. Shops are None while
    they are not known; a wanted one is the only one of them that its owner asked for.

    Of a damaged answer what can be read is kept: without an access token that is empty, and the connection's own stays;
    in_doubt is a refresh token that was kept although another was given, which could not be read.
    """

    provider: Provider
    account_id: str
    access_token: Secret
    access_seconds: int
    access_given: int
    refresh_token: Secret
    refresh_seconds: int | None
    refresh_given: int | None
    scopes: tuple[str, ...]
    age: float = 0.0
    shops: tuple[Shop, ...] | None = None
    wanted_shop: str = ""
    in_doubt: bool = False

    def aged(self, seconds: float) -> "Grant":
        """Return the grant with the time since it was asked for."""
        return replace(self, age=seconds)


def missing_scopes(grant: Grant) -> tuple[str, ...]:
    """Return the required scopes that were not granted."""
    return tuple(scope for scope in SCOPES_REQUIRED.get(grant.provider, ()) if scope not in grant.scopes)
