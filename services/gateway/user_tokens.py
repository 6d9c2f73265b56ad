"""Whose a user's token is: a JWT that is signed, still good, and made for this API; anything else is refused alike."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import jwt
import structlog
from jwt.types import Options

from libs.secret import Secret
from services.gateway.errors import TokenExpired, TokenRequired
from services.gateway.rules import USER_ID

USER = re.compile(USER_ID)
MAX_TOKEN = 8_192  # characters; longer ones are nobody's

log = structlog.get_logger()


class Keys(Protocol):
    """What tokens are verified with."""

    @property
    def algorithms(self) -> Sequence[str]:
        """The algorithms that a token may be signed by, whatever its header says."""
        ...

    async def key_of(self, token: str) -> jwt.PyJWK | str:
        """Return the key for a token; raise jwt.PyJWTError when there is none, UpstreamUnavailable for now."""
        ...


class Users(Protocol):
    """Knows users by their tokens."""

    async def user_of(self, token: str, /) -> str:
        """Return the user that a token was made for; raise TokenRequired, TokenExpired, UpstreamUnavailable."""
        ...


class NoUsers:
    """Knows nobody, as long as no setting says by what."""

    async def user_of(self, _token: str) -> str:
        """Raise TokenRequired."""
        raise TokenRequired("Users cannot sign in here: neither USER_JWT_SECRET nor USER_JWKS_URL is set")


class SharedSecret:
    """One secret that the application which signs users in has too."""

    algorithms = ("HS256",)

    def __init__(self, secret: Secret) -> None:
        self._secret = secret

    async def key_of(self, _token: str) -> str:
        """Return the secret."""
        return self._secret.reveal()


@dataclass(frozen=True, kw_only=True)
class UserTokens:
    """Verifies tokens; issuer and audience must be as given, and a token for an audience is refused without one."""

    keys: Keys
    issuer: str | None = None
    audience: str | None = None

    async def user_of(self, token: str) -> str:
        """Return the user that a token was made for; raise TokenRequired without saying why, UpstreamUnavailable.

        One that was right in everything until it ended is TokenExpired: who has it guesses nothing.
        """
        if len(token) > MAX_TOKEN:
            raise TokenRequired
        try:
            return self._subject(token, await self.keys.key_of(token))
        except jwt.PyJWTError as error:
            log.info("a user's token was refused", error=type(error).__name__)
            raise (TokenExpired if isinstance(error, jwt.ExpiredSignatureError) else TokenRequired) from None

    def _subject(self, token: str, key: jwt.PyJWK | str) -> str:
        try:
            return self._verified(token, key, {})
        except jwt.ExpiredSignatureError:
            # The claims that come after exp were not looked at yet; what is wrong in them goes before.
            self._verified(token, key, {"verify_exp": False})
            raise

    def _verified(self, token: str, key: jwt.PyJWK | str, options: Options) -> str:
        claims = jwt.decode(
            token,
            key,
            algorithms=list(self.keys.algorithms),
            issuer=self.issuer,
            audience=self.audience,
            # When it was issued says nothing: exp and nbf say when it is good.
            options={"require": ["exp", "sub"], "verify_iat": False, "enforce_minimum_key_length": True, **options},
        )
        if not USER.fullmatch(claims["sub"]):
            raise jwt.InvalidTokenError
        return str(claims["sub"])
