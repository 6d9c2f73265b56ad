"""Login Kit as the core sees a provider."""

from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import parsedate_to_datetime

from libs.clock import Clock
from libs.secret import Secret
from libs.tiktok import login_kit, outcomes
from libs.tiktok.login_kit import App, LoginKit, Tokens
from services.token.core import provider
from services.token.domain.connection import Provider
from services.token.domain.grant import SCOPES_ASKED, Grant

RETRY_AFTER = (1.0, 900.0)  # seconds; what a server asks for is clamped to this
TOO_MANY = 429
# The one word that says a refresh token is dead; any other is about the request, and so about this app.
DEAD_TOKEN = "invalid_grant"


class LoginKitProvider:
    """Implements ProviderPort; pkce is False for an app that TikTok registered without it."""

    def __init__(self, *, app: App, login_kit: LoginKit, clock: Clock, pkce: bool) -> None:
        self._app = app
        self._login_kit = login_kit
        self._clock = clock
        self._pkce = pkce

    def authorize_url(self, state: str, verifier: str) -> str:
        """Return the address of the consent page."""
        return login_kit.authorize_url(
            self._app, scopes=SCOPES_ASKED, state=state, verifier=verifier if self._pkce else None
        )

    async def exchange(self, code: Secret, verifier: str) -> Grant:
        """Spend an authorization code, once."""
        with self._outcomes():
            return as_grant(await self._login_kit.exchange(code, verifier if self._pkce else None), None)

    async def refresh(self, refresh_token: Secret) -> Grant:
        """Spend a refresh token; when none comes back the one that was sent stays."""
        with self._outcomes():
            try:
                return as_grant(await self._login_kit.refresh(refresh_token), refresh_token)
            except login_kit.Refused as refusal:
                if refusal.word != DEAD_TOKEN:
                    raise login_kit.AppRefused(refusal.word) from None
                raise

    async def revoke(self, access_token: Secret) -> None:
        """End a grant."""
        with self._outcomes():
            await self._login_kit.revoke(access_token)

    @contextmanager
    def _outcomes(self) -> Iterator[None]:
        try:
            yield
        except outcomes.NotSent as failure:
            raise provider.NotSent(str(failure)) from None
        except outcomes.CallFailed as failure:
            raise provider.Unknown(str(failure)) from None
        except login_kit.AppRefused as refusal:
            raise provider.AppRefused(refusal.word) from None
        except login_kit.Refused as refusal:
            raise provider.Refused(refusal.word) from None
        except login_kit.Unusable as answer:
            retry_after = self._seconds(answer.retry_after)
            limited = answer.status == TOO_MANY
            raise provider.Unavailable(str(answer), retry_after=retry_after, limited=limited) from None

    def _seconds(self, header: str | None) -> float:
        """Return the seconds of a Retry-After header, a number or a date, clamped; the least when it is neither."""
        least, most = RETRY_AFTER
        try:
            return min(max(float(header or 0), least), most)
        except ValueError:
            pass
        try:
            wait = (parsedate_to_datetime(header or "") - self._clock.now()).total_seconds()
        except (ValueError, TypeError):
            return least
        return min(max(wait, least), most)


def as_grant(tokens: Tokens, kept: Secret | None) -> Grant:
    """Return the grant of a token answer; kept is the refresh token that stays when no new one came."""
    refresh_token = tokens.refresh_token or kept
    if refresh_token is None:
        raise login_kit.Unusable(200, None)
    return Grant(
        provider=Provider.LOGIN_KIT,
        account_id=tokens.account_id,
        access_token=tokens.access_token,
        access_seconds=tokens.access_seconds,
        access_given=tokens.access_seconds,
        refresh_token=refresh_token,
        refresh_seconds=tokens.refresh_seconds,
        refresh_given=tokens.refresh_seconds,
        scopes=tokens.scopes,
    )
