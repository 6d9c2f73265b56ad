"""Makes connections: sends a person to the consent page and takes what comes back, once."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Protocol
from uuid import UUID

import structlog

from libs.clock import Clock
from libs.detached import DetachedTasks
from libs.errors import (
    AuthorizationDenied,
    InvalidField,
    ScopeMissing,
    ServerMisconfig,
    ShopChoiceRequired,
    StateInvalid,
    StateReused,
    StorageUnavailable,
    TokhubError,
    UpstreamBadResponse,
    UpstreamRateLimited,
    UpstreamUnavailable,
)
from libs.secret import Secret
from services.token.core.connections import Connecting, ConnectionsPort
from services.token.core.journal import Entry, JournalPort
from services.token.core.provider import (
    AppRefused,
    Garbled,
    NotSent,
    Outcome,
    ProviderPort,
    Providers,
    Refused,
    Unavailable,
    Unreadable,
    port_of,
)
from services.token.core.state import USUAL, AnotherBrowser, Link, Purpose, States, Terms, new_nonce
from services.token.core.vault import SealedTokens, Vault
from services.token.domain.connection import ByOwner, Connection, Owner, OwnerKind, Version
from services.token.domain.grant import Grant, missing_scopes
from services.token.domain.shop import Choice, Shop

NOT_SENT_TRIES = 3
# How long a consent waits for a database that stalls, while the person looks at a loading page.
STORE_PATIENCE = 20.0  # seconds
# Of shops to choose from, so that an error that tells them arrives: 64 KiB in base64 are most that a client takes.
MOST_SHOWN = 100
NAME_SHOWN = 80  # characters

log = structlog.get_logger()


class LinksPort(Protocol):
    """Remembers which links were used. Methods raise StorageUnavailable when the database cannot be used."""

    async def now(self) -> datetime:
        """Return the time by the one clock that all replicas share."""
        ...

    async def issue(self, link: Link) -> None:
        """Remember a new link."""
        ...

    async def spend(self, link_id: UUID) -> bool:
        """Return True for the first caller who spends the link, False for every other; raise StateInvalid if ended."""
        ...

    async def is_spent(self, link_id: UUID) -> bool:
        """Return whether somebody has spent the link."""
        ...


@dataclass(frozen=True, kw_only=True)
class Invitation:
    """A consent link, ready to be opened."""

    link: Link
    url: str = field(repr=False)
    state: str = field(repr=False)
    nonce: str = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class Redirect:
    """What TikTok appended to the redirect."""

    state: str = field(repr=False)
    code: str = field(repr=False)
    error: str
    nonce: str = field(repr=False)
    shop_id: str = ""
    expected: ByOwner | None = None


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What authorizing is made of."""

    connections: ConnectionsPort
    links: LinksPort
    providers: Providers
    journal: JournalPort
    vault: Vault
    clock: Clock


class Authorization:
    """Starts and completes authorizations."""

    def __init__(self, parts: Parts, states: States) -> None:
        self._connections = parts.connections
        self._links = parts.links
        self._providers = parts.providers
        self._journal = parts.journal
        self._vault = parts.vault
        self._clock = parts.clock
        self._states = states
        self._completing = DetachedTasks()

    async def start(self, target: ByOwner, team_id: int, *, bind: bool, terms: Terms = USUAL) -> Invitation:
        """Return a link to the consent page, bound to a new browser nonce or to nobody."""
        port = port_of(self._providers, target.provider)
        nonce = new_nonce() if bind else ""
        link = self._states.new(target, team_id, nonce, await self._links.now(), terms)
        await self._links.issue(link)
        state = self._states.write(link)
        url = port.authorize_url(state, link.verifier, link.redirect_uri)
        return Invitation(link=link, url=url, state=state, nonce=nonce)

    async def complete(self, redirect: Redirect) -> Connection:
        """Return the connection made of a redirect; a caller who leaves does not stop it half-way."""
        return await self._completing.outcome(self._complete(redirect), "complete authorization")

    async def drain(self) -> None:
        """Wait until every authorization that was begun is complete."""
        await self._completing.drain()

    async def _complete(self, redirect: Redirect) -> Connection:
        link = await self._link_of(redirect)
        if not await self._links.spend(link.id):
            raise StateReused
        if redirect.error or not redirect.code:
            raise AuthorizationDenied(metadata={"error": redirect.error[:64]})
        grant = await self._exchange(link, Secret(redirect.code))
        missing = missing_scopes(grant)
        if missing:
            await self._return_unwanted(grant)
            raise ScopeMissing(metadata={"scopes": ",".join(missing)})
        return await self._store(link, choose_shops(grant, link.target.owner, redirect.shop_id))

    async def _link_of(self, redirect: Redirect) -> Link:
        try:
            link = self._states.read(redirect.state, redirect.nonce)
        except AnotherBrowser as error:
            # The page after a success, loaded again: the browser has given its nonce away by then.
            if await self._links.is_spent(error.link_id):
                raise StateReused from None
            raise
        if redirect.expected not in (None, link.target):
            raise StateInvalid
        link.require_live(await self._links.now())
        return link

    async def _store(self, link: Link, grant: Grant) -> Connection:
        def seal(connection_id: UUID, version: Version) -> SealedTokens:
            return self._vault.seal(grant, connection_id, version)

        give_up_at = self._clock.monotonic() + STORE_PATIENCE
        while True:
            try:
                connection = await self._connecting(link)(link.target, link.team_id, grant, seal, link=link.id)
                break
            except StorageUnavailable:
                if self._clock.monotonic() > give_up_at:
                    await self._return_unwanted(grant)
                    raise
                await self._clock.sleep(0.5)
            except Exception:
                await self._return_unwanted(grant)
                raise
        received_at = connection.read_at - timedelta(seconds=grant.age)
        await self._journal.keep(Entry.of(connection, connection.version, grant, received_at))
        log.info("connected", connection=str(connection.id), number=connection.number, epoch=connection.version.epoch)
        return connection

    def _connecting(self, link: Link) -> Connecting:
        return self._connections.replace if link.purpose is Purpose.REPLACE else self._connections.connect

    async def _exchange(self, link: Link, code: Secret) -> Grant:
        port = port_of(self._providers, link.target.provider)
        self._vault.require_room()
        started = self._clock.monotonic()
        try:
            grant = await self._exchange_if_sent(port, code, link)
        except Outcome as outcome:
            raise as_error(outcome) from None
        return grant.aged(self._clock.monotonic() - started)

    async def _exchange_if_sent(self, port: ProviderPort, code: Secret, link: Link) -> Grant:
        """Repeat only what never left: a code that was sent may be spent."""
        for _ in range(NOT_SENT_TRIES - 1):
            try:
                return await port.exchange(code, link.verifier, link.redirect_uri)
            except NotSent:
                await self._clock.sleep(0.3)
        return await port.exchange(code, link.verifier, link.redirect_uri)

    async def _return_unwanted(self, grant: Grant) -> None:
        """Give a grant back that is not kept, unless that could end a connection which is."""
        try:
            if not await self._connections.account_is_live(grant):
                await self._providers[grant.provider].revoke(grant.access_token)
        except (Outcome, TokhubError) as error:
            log.warning("an unwanted grant could not be given back", error=type(error).__name__)


def choose_shops(grant: Grant, owner: Owner, wanted: str) -> Grant:
    """Return the grant with the shops its owner gets: a user one, a store all; raise ShopChoiceRequired."""
    if not grant.shops:
        return replace(grant, wanted_shop=wanted)
    chosen = Choice(only_one=owner.kind is OwnerKind.USER, wanted=wanted).among(grant.shops)
    if not chosen:
        raise ShopChoiceRequired(metadata={"shops": choices_among(grant.shops)})
    return replace(grant, shops=chosen, wanted_shop=wanted)


def choices_among(shops: Sequence[Shop]) -> str:
    """Return what tells shops apart as JSON, in so far as it fits into an error."""
    shown = [{"id": shop.id, "name": shop.name[:NAME_SHOWN], "region": shop.region} for shop in shops[:MOST_SHOWN]]
    return json.dumps(shown, ensure_ascii=False)


def as_error(outcome: Outcome) -> TokhubError:
    """Return what a failed exchange means to the person who waits for it."""
    match outcome:
        case AppRefused():
            return ServerMisconfig("TikTok refuses the app's credentials: tell the operator.")
        case Refused():
            return InvalidField("code", "is not one that TikTok accepts now: start again from a new link")
        case Unavailable(limited=True):
            return UpstreamRateLimited(retry_after=outcome.retry_after)
        case Unreadable() | Garbled():
            return UpstreamBadResponse("TikTok's answer makes no sense: start again from a new link in a moment.")
        case Unavailable() | NotSent():
            return UpstreamUnavailable("TikTok cannot be reached now: start again from a new link in a moment.")
        case _:
            return UpstreamUnavailable("TikTok gave no answer: start again from a new link in a moment.")
