"""Login Kit as the core sees a provider."""

from dataclasses import replace

from libs.clock import Clock
from libs.secret import Secret
from libs.tiktok import login_kit
from libs.tiktok.login_kit import App, LoginKit, Tokens
from libs.tiktok.token_answers import AppRefused, Garbled, Refused
from services.token.adapters.outcomes import access_life, as_outcomes
from services.token.domain.connection import Provider
from services.token.domain.grant import Grant

SCOPES_ASKED = ("user.info.basic", "user.info.profile", "user.info.stats", "video.list")
# The one word that says a refresh token is dead; any other is about the request, and so about this app.
DEAD_TOKEN = "invalid_grant"
OK = 200
NONE = Secret("")


class LoginKitProvider:
    """Implements ProviderPort; pkce is False for an app that TikTok registered without it."""

    revocable = True

    def __init__(self, *, app: App, login_kit: LoginKit, clock: Clock, pkce: bool) -> None:
        self._app = app
        self._login_kit = login_kit
        self._clock = clock
        self._pkce = pkce

    def authorize_url(self, state: str, verifier: str, redirect_uri: str) -> str:
        """Return the address of the consent page."""
        app = replace(self._app, redirect_uri=redirect_uri or self._app.redirect_uri)
        return login_kit.authorize_url(app, scopes=SCOPES_ASKED, state=state, verifier=verifier if self._pkce else None)

    async def exchange(self, code: Secret, verifier: str, redirect_uri: str) -> Grant:
        """Spend an authorization code, once."""
        with as_outcomes(self._clock):
            tokens = await self._login_kit.exchange(code, verifier if self._pkce else None, redirect_uri)
            if not tokens.access_token or not tokens.account_id:
                raise Garbled(OK)
            return as_grant(tokens, None)

    async def refresh(self, refresh_token: Secret) -> Grant:
        """Spend a refresh token; when none comes back the one that was sent stays."""
        with as_outcomes(self._clock):
            try:
                return as_grant(await self._login_kit.refresh(refresh_token), refresh_token)
            except Refused as refusal:
                if refusal.word != DEAD_TOKEN:
                    raise AppRefused(refusal.word) from None
                raise

    async def revoke(self, access_token: Secret) -> None:
        """End a grant."""
        with as_outcomes(self._clock):
            await self._login_kit.revoke(access_token)


def as_grant(tokens: Tokens, kept: Secret | None) -> Grant:
    """Return the grant of a token answer; kept is the refresh token that stays when no new one came."""
    refresh_token = tokens.refresh_token or kept
    if refresh_token is None:
        raise Garbled(OK)
    return Grant(
        provider=Provider.LOGIN_KIT,
        account_id=tokens.account_id,
        access_token=tokens.access_token or NONE,
        access_seconds=access_life(tokens.access_seconds) if tokens.access_token else 0,
        access_given=tokens.access_seconds or 0,
        refresh_token=refresh_token,
        refresh_seconds=tokens.refresh_seconds,
        refresh_given=tokens.refresh_seconds,
        scopes=tokens.scopes,
        in_doubt=tokens.refresh_garbled,
    )
