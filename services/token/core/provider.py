"""The port to a provider's token endpoint, and what can come of a call.

Outcome
├── NotSent        the provider never saw it: repeating is safe
├── Unknown        sent, and no whole answer came: it may or may not have been carried out
│   └── Garbled    an answer came that says neither
├── Refused        the provider refuses this code or token
│   ├── Lost       it had rotated the token in an answer that never came
│   └── AppRefused the provider refuses the app: says nothing about the account
├── Unavailable    the provider cannot answer now: says nothing about the account
├── Unreadable     something in front of the provider answered: says nothing about the account
└── Irrevocable    the provider has no call that ends a grant
"""

from collections.abc import Mapping
from typing import Protocol

from libs.errors import ServerMisconfig
from libs.secret import Secret
from services.token.domain.connection import Provider
from services.token.domain.grant import Grant


class Outcome(Exception):
    """A token call that brought no grant."""


class NotSent(Outcome):
    """The request did not reach the provider."""


class Unknown(Outcome):
    """The request was sent and no whole answer came; retry_after is in seconds, 0 when nobody asked to wait."""

    def __init__(self, what: str, *, retry_after: float = 0.0) -> None:
        super().__init__(what)
        self.retry_after = retry_after


class Garbled(Unknown):
    """The provider's answer cannot be understood."""


class Refused(Outcome):
    """The provider refused the code or token."""

    def __init__(self, word: str) -> None:
        super().__init__(word)
        self.word = word


class Lost(Refused):
    """The provider refused a token whose first use had no answer: it had been rotated, and the answer is lost."""


class AppRefused(Refused):
    """The provider refused the app itself."""


class Unavailable(Outcome):
    """The provider cannot answer now."""

    def __init__(self, what: str, *, retry_after: float, limited: bool) -> None:
        super().__init__(what)
        self.retry_after = retry_after
        self.limited = limited


class Unreadable(Outcome):
    """Something in front of the provider answered with a page."""


class Irrevocable(Outcome):
    """The provider has no call that ends a grant: only the account's owner can end it there."""


class ProviderPort(Protocol):
    """What the core asks of a provider; each method raises an Outcome when it brings nothing."""

    @property
    def revocable(self) -> bool:
        """Whether it has a call that ends a grant; without one, revoke raises Irrevocable."""
        ...

    def authorize_url(self, state: str, verifier: str, redirect_uri: str, /) -> str:
        """Return the address of the consent page; it leads back to redirect_uri, to the app's own when empty."""
        ...

    async def exchange(self, code: Secret, verifier: str, redirect_uri: str, /) -> Grant:
        """Spend an authorization code, once; verifier and redirect_uri are those of its consent page."""
        ...

    async def refresh(self, refresh_token: Secret, /) -> Grant:
        """Spend a refresh token; a missing new one means the old one stays, a missing access token is empty."""
        ...

    async def revoke(self, access_token: Secret, /) -> None:
        """End a grant."""
        ...


Providers = Mapping[Provider, ProviderPort]


def port_of(providers: Providers, provider: Provider) -> ProviderPort:
    """Return the port to a provider; raise ServerMisconfig when this service has no app for it."""
    port = providers.get(provider)
    if port is None:
        raise ServerMisconfig(f"No app is set up for {provider}: set its key and secret.")
    return port
