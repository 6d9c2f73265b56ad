"""Ports of the core with a meter around them: how refreshes end, what reads are answered with, what is in flight."""

from collections.abc import Sequence
from types import MappingProxyType

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from libs.secret import Secret
from services.token.core import provider
from services.token.core.ahead import RefreshPort
from services.token.core.connections import Held
from services.token.core.provider import ProviderPort
from services.token.core.tokens import Source, TokensPort, ValidToken
from services.token.domain.connection import Connection, Need, Provider, Reference, Why
from services.token.domain.grant import Grant

REFRESHED = "refreshed"
RATE_LIMITED = "rate_limited"
UNEXPECTED = "unexpected"
CLASSES = MappingProxyType(
    {
        provider.NotSent: "not_sent",
        provider.Unknown: "unknown",
        provider.Refused: "refused",
        provider.AppRefused: "app_refused",
        provider.Unavailable: "unavailable",
    }
)
OUTCOMES = (REFRESHED, *CLASSES.values(), RATE_LIMITED, UNEXPECTED)

DOUBTS = (Why.LOST_RESPONSE, Why.HOLDER_MISSING, Why.PUT_BACK, Why.UNREADABLE)

# TikTok is given 15 seconds for an answer.
SECONDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 15.0)


class RefreshMeter:
    """Counts refresh tokens presented to providers, by what came of them."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.calls = Counter(
            "tokhub_token_refreshes",
            "Refresh tokens presented to a provider, by what came of it.",
            ["provider", "outcome"],
            registry=registry,
        )
        self.seconds = Histogram(
            "tokhub_token_refresh_seconds",
            "Time a provider took to answer a refresh, in seconds.",
            ["provider"],
            buckets=SECONDS,
            registry=registry,
        )

    def around(self, name: Provider, port: ProviderPort) -> "MeteredProvider":
        """Return the port with this meter around it."""
        for outcome in OUTCOMES:
            self.calls.labels(name, outcome)
        return MeteredProvider(meter=self, name=name, port=port)


class MeteredProvider:
    """A ProviderPort whose refreshes are counted and timed."""

    def __init__(self, *, meter: RefreshMeter, name: Provider, port: ProviderPort) -> None:
        self._meter = meter
        self._name = name
        self._port = port

    @property
    def revocable(self) -> bool:
        """Whether the provider has a call that ends a grant."""
        return self._port.revocable

    def authorize_url(self, state: str, verifier: str, redirect_uri: str, /) -> str:
        """Return the address of the consent page."""
        return self._port.authorize_url(state, verifier, redirect_uri)

    async def exchange(self, code: Secret, verifier: str, redirect_uri: str, /) -> Grant:
        """Spend an authorization code."""
        return await self._port.exchange(code, verifier, redirect_uri)

    async def refresh(self, refresh_token: Secret, /) -> Grant:
        """Spend a refresh token."""
        outcome = UNEXPECTED
        try:
            with self._meter.seconds.labels(self._name).time():
                grant = await self._port.refresh(refresh_token)
            outcome = REFRESHED
        except provider.Outcome as what:
            outcome = class_of(what)
            raise
        finally:
            self._meter.calls.labels(self._name, outcome).inc()
        return grant

    async def revoke(self, access_token: Secret, /) -> None:
        """End a grant."""
        await self._port.revoke(access_token)


def class_of(outcome: provider.Outcome) -> str:
    """Return the class of an outcome as a label."""
    if isinstance(outcome, provider.Unavailable) and outcome.limited:
        return RATE_LIMITED
    return CLASSES.get(type(outcome), UNEXPECTED)


class DoubtMeter:
    """Counts how often a row was marked as one in doubt, by why."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._marked = Counter(
            "tokhub_token_doubts", "Connections that were marked as in doubt, by why.", ["why"], registry=registry
        )
        for why in DOUBTS:
            self._marked.labels(why)

    def count(self, why: Why) -> None:
        """Count one."""
        self._marked.labels(why).inc()


class MeteredTokens:
    """A TokensPort whose reads are counted by freshness and source; reads that bring nothing are the RPC's to count."""

    def __init__(self, tokens: TokensPort, registry: CollectorRegistry) -> None:
        self._tokens = tokens
        reads = Counter(
            "tokhub_token_reads",
            "Access tokens handed out, by freshness and by where they were read.",
            ["freshness", "source"],
            registry=registry,
        )
        # Looked up once: a read from the cache takes microseconds.
        self._reads = {
            (fresh, source): reads.labels(word, source)
            for fresh, word in ((True, "fresh"), (False, "stale_but_valid"))
            for source in Source
        }

    async def get_valid(self, reference: Reference, need: Need) -> ValidToken:
        """Return an access token that works."""
        return self._counted(await self._tokens.get_valid(reference, need))

    async def meet(self, held: Held, need: Need) -> ValidToken:
        """Return an access token of a connection that was read just now."""
        return self._counted(await self._tokens.meet(held, need))

    async def refresh(self, reference: Reference, request_id: str) -> Connection:
        """Return the connection with newer tokens."""
        return await self._tokens.refresh(reference, request_id)

    async def refresh_when_due(self, reference: Reference, request_id: str) -> tuple[Connection, bool]:
        """Return the connection, refreshed if it is due."""
        return await self._tokens.refresh_when_due(reference, request_id)

    def _counted(self, valid: ValidToken) -> ValidToken:
        self._reads[valid.fresh, valid.source].inc()
        return valid


class MeteredRefresh:
    """A RefreshPort that tells how many refreshes it has in flight."""

    def __init__(self, refresher: RefreshPort, registry: CollectorRegistry) -> None:
        self._refresher = refresher
        self._in_flight = Gauge(
            "tokhub_token_background_refreshes_in_flight",
            "Refreshes ahead of need that are on their way.",
            registry=registry,
        )

    @property
    def reachable(self) -> Sequence[Provider]:
        """The providers that a refresh can be tried at."""
        return self._refresher.reachable

    async def refresh(self, connection: Connection, need: Need) -> Held:
        """Return the connection with the need met."""
        with self._in_flight.track_inprogress():
            return await self._refresher.refresh(connection, need)
