"""TikTok Shop as the core sees a provider."""

from dataclasses import replace

import structlog

from libs.clock import Clock
from libs.secret import Secret
from libs.tiktok import shop, token_answers
from libs.tiktok.shop import DEAD_CODE, DEAD_TOKEN, ShopApp, ShopClient, ShopInfo, ShopTokens
from services.token.adapters.outcomes import access_life, as_outcomes
from services.token.core.provider import Irrevocable, Outcome
from services.token.domain.connection import Provider
from services.token.domain.grant import Grant
from services.token.domain.shop import Shop

LONGEST_LIFE = 200 * 365 * 86_400  # seconds; sellers grant until beyond the year 2123, a date must still fit
FINAL = frozenset({str(DEAD_CODE), str(DEAD_TOKEN)})
SUCCESS = 200
NONE = Secret("")

log = structlog.get_logger()


class TiktokShopProvider:
    """Implements ProviderPort; TikTok Shop has no call that ends a grant."""

    revocable = False

    def __init__(self, *, app: ShopApp, client: ShopClient, clock: Clock) -> None:
        self._app = app
        self._client = client
        self._clock = clock

    def authorize_url(self, state: str, _verifier: str, _redirect_uri: str) -> str:
        """Return the address of the consent page, which knows no PKCE, and one way back."""
        return shop.authorize_url(self._app, state)

    async def exchange(self, code: Secret, _verifier: str, _redirect_uri: str) -> Grant:
        """Spend an authorization code, once, and learn the shops if they can be had now."""
        asked = self._now()
        with as_outcomes(self._clock):
            tokens = await self._client.exchange(code)
            if not tokens.access_token or not tokens.open_id:
                raise token_answers.Garbled(SUCCESS)
            grant = as_grant(tokens, None, asked)
        try:
            return replace(grant, shops=await self.shops(grant.access_token))
        except Outcome as outcome:
            log.warning("the shops of a new grant are asked for later", why=str(outcome))
            return grant

    async def refresh(self, refresh_token: Secret) -> Grant:
        """Spend a refresh token; when none comes back the one that was sent stays."""
        asked = self._now()
        with as_outcomes(self._clock):
            try:
                return as_grant(await self._client.refresh(refresh_token), refresh_token, asked)
            except token_answers.Refused as refusal:
                if refusal.word not in FINAL:
                    raise token_answers.Unusable(SUCCESS, None) from None
                raise

    async def revoke(self, _access_token: Secret) -> None:
        """Raise Irrevocable: only the seller can end a grant, in Seller Center."""
        raise Irrevocable

    async def shops(self, access_token: Secret) -> tuple[Shop, ...]:
        """Return the shops of a grant."""
        with as_outcomes(self._clock):
            return tuple(as_shop(one) for one in await self._client.shops(access_token))

    def _now(self) -> int:
        return int(self._clock.now().timestamp())


def as_grant(tokens: ShopTokens, kept: Secret | None, asked: int) -> Grant:
    """Return the grant of a token answer that was asked for at a Unix time; kept stays when no new one came."""
    refresh_token = tokens.refresh_token or kept
    if refresh_token is None:
        raise token_answers.Garbled(SUCCESS)
    return Grant(
        provider=Provider.TIKTOK_SHOP,
        account_id=tokens.open_id,
        access_token=tokens.access_token or NONE,
        access_seconds=access_life(seconds_until(tokens.access_ends, asked)) if tokens.access_token else 0,
        access_given=tokens.access_ends or 0,
        refresh_token=refresh_token,
        refresh_seconds=seconds_until(tokens.refresh_ends, asked),
        refresh_given=tokens.refresh_ends,
        scopes=tokens.scopes,
        in_doubt=tokens.refresh_garbled,
    )


def seconds_until(end: int | None, asked: int) -> int | None:
    """Return the seconds from asked to end, within what is a lifetime; None when no end was named, or one before."""
    return None if end is None or end <= asked else min(end - asked, LONGEST_LIFE)


def as_shop(info: ShopInfo) -> Shop:
    """Return a shop."""
    return Shop(id=info.id, cipher=info.cipher, name=info.name, region=info.region, seller_type=info.seller_type)
