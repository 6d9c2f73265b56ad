"""Spends the refresh token of a lease, and leaves what came of it in the journal and in the row."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from uuid import UUID

import structlog

from libs.clock import Clock
from libs.errors import (
    ServerMisconfig,
    StorageUnavailable,
    TokhubError,
    UpstreamBadResponse,
    UpstreamRateLimited,
    UpstreamUnavailable,
)
from libs.jitter import uniform
from libs.secret import Secret
from libs.vault.ring import CannotOpen
from services.token.core.breaker import Breaker
from services.token.core.connections import ConnectionsPort, Held, Lease, Setback
from services.token.core.double_spend import DoubleSpendWatch
from services.token.core.journal import JOURNALS_LOOK, Entry, JournalPort, ReplayPort
from services.token.core.provider import (
    AppRefused,
    Lost,
    NotSent,
    ProviderPort,
    Providers,
    Refused,
    Unavailable,
    Unknown,
    Unreadable,
    port_of,
)
from services.token.core.vault import SealedTokens, Vault
from services.token.domain.connection import Connection, Provider, Status, Why
from services.token.domain.grant import Grant

SECOND_TRY_AFTER = (2.0, 4.0)  # seconds; the one repeat after an unknown outcome
CALL_TAKES = 15.0  # seconds that TikTok is given, and that must be left of a lease
FIRST_PAUSE = 5.0  # seconds after the first failure, doubled by each further one
LONGEST_PAUSE = 900.0
# How long the process that presented a token first is waited for, once that token has been refused.
HOLDER_MISSED = 600.0  # seconds
JOURNALS_TAKE = 30.0  # seconds that all replicas have to look into their journals, some times over

Answer = Callable[[Held], None]

log = structlog.get_logger()


class LeaseEnded(Unknown):
    """A token was presented without an answer, and what becomes of it is for the next who has the lease."""


@dataclass(frozen=True, kw_only=True)
class Given:
    """What TikTok gave for a lease, on its way to the journal and to the row."""

    lease: Lease
    grant: Grant
    entry: Entry
    sealed: SealedTokens
    answer: Answer


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What an exchange is made of."""

    connections: ConnectionsPort
    providers: Providers
    journal: JournalPort
    breaker: Breaker
    replay: ReplayPort
    vault: Vault
    watch: DoubleSpendWatch
    clock: Clock


class Exchange:
    """One refresh, from the lease to the saved row."""

    def __init__(self, parts: Parts) -> None:
        self._connections = parts.connections
        self._providers = parts.providers
        self._journal = parts.journal
        self._breaker = parts.breaker
        self._replay = parts.replay
        self._vault = parts.vault
        self._watch = parts.watch
        self._clock = parts.clock
        self._only_here: set[UUID] = set()

    @property
    def only_here(self) -> Sequence[UUID]:
        """The connections whose newest tokens are in the memory of this process alone."""
        return sorted(self._only_here)

    @property
    def reachable(self) -> Sequence[Provider]:
        """The providers that are set up here and not left alone."""
        return [provider for provider in self._providers if self._breaker.may_try(provider)]

    async def check(self, connection: Connection) -> None:
        """Raise unless the connection's provider is set up here, has been answering, and its answer could be kept."""
        port_of(self._providers, connection.provider)
        self._vault.require_room()
        if not await self._journal.ready():
            raise StorageUnavailable("The journal cannot be written: look at its directory and disk, then try again.")
        self._breaker.check(connection.provider)

    async def leave(self, lease: Lease) -> None:
        """End a lease without a call: its token may have been spent."""
        await self._connections.leave(lease)

    async def spend(self, lease: Lease, answer: Answer) -> None:
        """Refresh; answer is called as soon as the new tokens cannot be lost, the row may still be behind then."""
        if lease.connection.reason == Why.HOLDER_MISSING:
            await self._condemn(lease, Lost("invalid_grant"))
            return
        if lease.put_back and lease.connection.reason != Why.PUT_BACK:
            await self._await_journals(lease)
        token = await self._opened(lease)
        await self._watch.leased(lease)
        started = self._clock.monotonic()
        try:
            grant = await self._watched(lease, token)
        except Unknown as outcome:
            await self._suspect(lease, outcome)
        except AppRefused as outcome:
            await self._blame_app(lease, outcome)
        except Refused as outcome:
            await self._believe(lease, outcome)
        except NotSent:
            pause = pause_after(lease.failures)
            await self._wait(lease, UpstreamUnavailable(retry_after=pause), pause)
        except Unreadable:
            error = UpstreamBadResponse("TikTok answered a refresh with a page: it is tried again later.")
            await self._wait(lease, error, pause_after(lease.failures))
        except Unavailable as outcome:
            kind = UpstreamRateLimited if outcome.limited else UpstreamUnavailable
            pause = max(outcome.retry_after, pause_after(lease.failures))
            await self._wait(lease, kind(retry_after=pause), pause)
        else:
            await self._keep(lease, grant.aged(self._clock.monotonic() - started), answer)

    async def _watched(self, lease: Lease, token: Secret) -> Grant:
        """Spend a token under the eyes of the breaker; one in doubt has had its repeat and is presented once."""
        provider = lease.connection.provider
        port = port_of(self._providers, provider)
        try:
            grant = await (port.refresh(token) if lease.unanswered > 0 else self._present(lease, port, token))
        except (NotSent, Unknown, Unreadable):
            self._breaker.failed(provider)
            raise
        except Unavailable as outcome:
            if not outcome.limited:
                self._breaker.failed(provider)
            raise
        except Refused:
            self._breaker.answered(provider)
            raise
        self._breaker.answered(provider)
        return grant

    async def _await_journals(self, lease: Lease) -> None:
        """Name a row that was put back: its token is spent, and the newer one may stand in any replica's journal."""
        await self._give_back(lease, Setback(pause=JOURNALS_TAKE, status=Status.SUSPECT, reason=Why.PUT_BACK))
        log.error("a row was put back: its newer tokens are looked for in the journals", connection=str(lease.id))
        raise StorageUnavailable(
            "This connection's row was replaced by an older one: its tokens are looked for in the journals.",
            retry_after=JOURNALS_LOOK,
        )

    async def _opened(self, lease: Lease) -> Secret:
        try:
            return self._vault.open_refresh(lease.refresh, lease.id, lease.version)
        except CannotOpen as error:
            await self._name_unreadable(lease)
            log.error("stored token does not open", connection=str(lease.id), why=str(error))
            raise ServerMisconfig("The stored token of this connection does not open: check the key ring.") from None

    async def _name_unreadable(self, lease: Lease) -> None:
        """Name a connection whose token opens nowhere; one that lacks its key here alone is left to who has it."""
        lacked = self._vault.lacked_keys(lease.refresh)
        if not lacked:
            setback = Setback(pause=LONGEST_PAUSE, status=Status.SUSPECT, reason=Why.UNREADABLE)
            await self._give_back(lease, setback)
            return
        await self._give_back(lease, Setback(pause=pause_after(lease.failures), cause=ServerMisconfig.reason))
        await self._connections.suspect(lease.id, lease.version, lacked)

    async def _present(self, lease: Lease, port: ProviderPort, token: Secret) -> Grant:
        """Spend a token, with one repeat after an unknown outcome: a server may end the whole grant at more.

        The repeat is this process's only while the lease is: whoever has it by then presents the token once, and knows
        that it has been presented before.

        What became of the first use stays unknown unless the second brings tokens or a refusal of this one.
        """
        try:
            return await port.refresh(token)
        except Unknown as outcome:
            await self._clock.sleep(uniform(*SECOND_TRY_AFTER))
            if not await self._holds(lease):
                raise LeaseEnded(str(outcome)) from None
        try:
            return await port.refresh(token)
        except AppRefused as outcome:
            log.error("the app's credentials are refused", word=outcome.word)
            raise Unknown("refused the app") from None
        except Refused as outcome:
            raise Lost(outcome.word) from None
        except Unavailable as outcome:
            raise Unknown(str(outcome), retry_after=outcome.retry_after) from None
        except (NotSent, Unreadable) as outcome:
            raise Unknown(str(outcome)) from None

    async def _holds(self, lease: Lease) -> bool:
        """Return whether a lease lasts for one more call; of one that cannot be asked for nobody knows."""
        try:
            return await self._connections.holds(lease, CALL_TAKES)
        except StorageUnavailable:
            return False

    async def _keep(self, lease: Lease, grant: Grant, answer: Answer) -> None:
        """Keep new tokens, then say what was wrong with their answer; raise UpstreamBadResponse for no access token."""
        if grant.access_token.reveal():
            await self._store(lease, grant, answer)
        else:
            await self._store(lease, self._with_own_access(lease, grant), lambda _held: None)
            log.error("a refresh brought no access token: its refresh token is kept", connection=str(lease.id))
        if grant.in_doubt:
            await self._doubt(lease)
        if not grant.access_token.reveal():
            raise UpstreamBadResponse("TikTok's answer held no access token: the refresh is repeated in a moment.")

    def _with_own_access(self, lease: Lease, grant: Grant) -> Grant:
        """Return a grant that lacks an access token with the one that the connection has."""
        try:
            token = self._vault.open_access(lease.access, lease.id, lease.version)
        except CannotOpen:
            return grant
        return replace(grant, access_token=token, access_seconds=max(int(lease.connection.seconds_left), 0))

    async def _doubt(self, lease: Lease) -> None:
        """Name a connection whose new refresh token could not be read: the old one was kept, and may be dead."""
        saved = replace(lease, connection=replace(lease.connection, version=lease.version.refreshed()))
        await self._give_back(saved, Setback(pause=0, status=Status.SUSPECT, reason=Why.LOST_RESPONSE))
        log.error("a refresh brought a refresh token that cannot be read", connection=str(lease.id))

    async def _store(self, lease: Lease, grant: Grant, answer: Answer) -> None:
        """Journal, answer, save: nothing that can fail stands before the journal."""
        # What TikTok gave was asked for after the lease was read; a machine whose clock is wrong cannot say when.
        entry = Entry.of(lease.connection, lease.version.refreshed(), grant, lease.connection.read_at)
        self._only_here.add(lease.id)
        try:
            kept = await self._journaled(entry)
            sealed = self._vault.seal(grant, lease.id, entry.version)
            given = Given(lease=lease, grant=grant, entry=entry, sealed=sealed, answer=answer)
            if kept:
                give_answer(given, grant)
            await self._save(given)
        finally:
            self._only_here.discard(lease.id)

    async def _journaled(self, entry: Entry) -> bool:
        kept = await self._journal.keep(entry)
        if kept:
            self._only_here.discard(entry.connection_id)
        return kept

    async def _save(self, given: Given) -> None:
        """Save new tokens, for as long as it takes: nobody else has them. Until they are journaled, try that too."""
        began = self._clock.monotonic()
        while True:
            waited = self._clock.monotonic() - began
            grant = given.grant.aged(given.grant.age + waited)
            try:
                await self._save_or_end(given, grant)
            except Exception as error:  # noqa: BLE001 - whatever it is, giving up would lose the tokens
                log.error(
                    "new tokens wait for the database",
                    connection=str(given.lease.id),
                    waited=round(waited, 1),
                    journaled=given.lease.id not in self._only_here,
                    error=type(error).__name__,
                )
                await self._clock.sleep(min(0.2 + waited, 5.0))
            else:
                return
            if given.lease.id in self._only_here and await self._journaled(given.entry):
                give_answer(given, grant)

    async def _save_or_end(self, given: Given, grant: Grant) -> None:
        """Save new tokens, also to a row that went back in time; those of a row that was disconnected are ended."""
        lease = given.lease
        if await self._connections.save(lease, grant, given.sealed) or await self._replay.restore(given.entry):
            return
        await self._watch.overtaken(lease, grant)
        log.warning("refresh overtaken", connection=str(lease.id), had=str(lease.version))

    async def _suspect(self, lease: Lease, outcome: Unknown) -> None:
        if isinstance(outcome, LeaseEnded):
            log.warning("lease ended before its token could be presented again", connection=str(lease.id))
            return
        pause = max(outcome.retry_after, pause_after(lease.failures))
        await self._give_back(lease, Setback(pause=pause, status=Status.SUSPECT, reason=Why.LOST_RESPONSE))
        log.error("refresh ended without an answer", connection=str(lease.id))
        raise UpstreamUnavailable("TikTok gave no answer to a refresh: it is tried again later.", retry_after=pause)

    async def _believe(self, lease: Lease, outcome: Refused) -> None:
        """Take a refusal at its word, unless another process may hold the answer that made the token old."""
        if lease.foreign_for is None or lease.foreign_for >= HOLDER_MISSED:
            lost = lease.unanswered > 0 or lease.connection.reason in (Why.LOST_RESPONSE, Why.PUT_BACK)
            await self._condemn(lease, Lost(outcome.word) if lost else outcome)
            return
        pause = HOLDER_MISSED - lease.foreign_for
        setback = Setback(pause=pause, status=Status.SUSPECT, reason=Why.HOLDER_MISSING)
        if not await self._give_back(lease, setback):
            await self._watch.refused_late(lease)
        log.error("refused a token another process has presented: waiting for its answer", connection=str(lease.id))
        raise UpstreamUnavailable(
            "Another process may hold this connection's new token: its answer is waited for.", retry_after=pause
        )

    async def _condemn(self, lease: Lease, outcome: Refused) -> None:
        """Ask for a new consent, if the row still holds the token that was refused: somebody may have rotated it."""
        reason = Why.LOST_RESPONSE if isinstance(outcome, Lost) else Why.REFUSED
        if await self._connections.give_back(lease, Setback(pause=0, status=Status.REAUTH_REQUIRED, reason=reason)):
            log.warning("connection refused", connection=str(lease.id), word=outcome.word, reason=reason)
            await self._watch.refused(lease, outcome)
        else:
            await self._watch.refused_late(lease)

    async def _blame_app(self, lease: Lease, outcome: Refused) -> None:
        await self._give_back(lease, Setback(pause=pause_after(lease.failures), cause=ServerMisconfig.reason))
        provider = lease.connection.provider
        log.error("the app's credentials are refused", provider=provider, word=outcome.word)
        raise ServerMisconfig(f"TikTok refuses the app's credentials: check the key and secret for {provider}.")

    async def _wait(self, lease: Lease, error: TokhubError, pause: float) -> None:
        await self._give_back(lease, Setback(pause=pause, cause=error.reason))
        raise error

    async def _give_back(self, lease: Lease, setback: Setback) -> bool:
        try:
            return await self._connections.give_back(lease, setback)
        except StorageUnavailable:
            log.warning("lease left to end by itself", connection=str(lease.id))
            return False


def give_answer(given: Given, grant: Grant) -> None:
    """Answer whoever waits with what was given; grant is that of now."""
    given.answer(Held(connection=refreshed(given.lease.connection, grant), access=given.sealed.access))


def refreshed(connection: Connection, grant: Grant) -> Connection:
    """Return the connection as its row will be, by the database's clock when the lease was given."""
    leased_at = connection.access_expires_at - timedelta(seconds=connection.seconds_left)
    life = grant.refresh_seconds
    return replace(
        connection,
        status=Status.ACTIVE,
        reason=reason_after(connection, grant),
        scopes=grant.scopes or connection.scopes,
        version=connection.version.refreshed(),
        access_expires_at=leased_at + timedelta(seconds=grant.access_seconds),
        refresh_expires_at=connection.refresh_expires_at if life is None else leased_at + timedelta(seconds=life),
        access_life=float(grant.access_seconds),
        seconds_left=grant.access_seconds - grant.age,
        retry_in=0.0,
        updated_at=leased_at,
    )


def reason_after(connection: Connection, grant: Grant) -> str:
    """Return what is left to say of a connection after a refresh: that it may do less than it was granted."""
    reduced = grant.scopes and set(connection.scopes) - set(grant.scopes)
    still = connection.reason == Why.SCOPE_REDUCED and len(grant.scopes) <= len(connection.scopes)
    return Why.SCOPE_REDUCED if reduced or still else ""


def pause_after(failures: int) -> float:
    """Return the seconds to wait after so many failures in a row, with jitter."""
    longest: float = min(FIRST_PAUSE * 2 ** min(failures, 10), LONGEST_PAUSE)
    return uniform(longest / 2, longest)
