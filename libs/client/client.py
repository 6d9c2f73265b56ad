"""Asks the token service for access tokens: once however many want one, again while that helps, until a deadline."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from types import TracebackType
from typing import Self, TypeVar

import grpc
from google.protobuf.duration_pb2 import Duration
from tokhub.token.v1 import token_pb2, token_pb2_grpc

from libs.client.cache import TokenCache
from libs.client.settings import TokenClientSettings
from libs.client.token import Reference, Rejected, Token
from libs.client.watch import Open, TokenWatch
from libs.clock import Clock, SystemClock
from libs.errors import RefreshInProgress, StorageUnavailable, TryLater, UpstreamRateLimited, UpstreamUnavailable
from libs.jitter import uniform
from libs.rpc.client import open_channel, open_pinned
from libs.settings import parse

T = TypeVar("T")

MIN_TTL = 60.0  # seconds
MOST = 10_000  # tokens in memory, about two kilobytes each
PASSING = (RefreshInProgress, StorageUnavailable, UpstreamRateLimited, UpstreamUnavailable)
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 5.0  # seconds between attempts when the service names no longer one


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What is asked for; those who want the same at the same time share one call."""

    reference: Reference
    min_ttl: float
    rejected_generation: int | None

    def message(self) -> token_pb2.GetValidTokenRequest:
        """Return the request."""
        min_ttl = Duration()
        min_ttl.FromTimedelta(timedelta(seconds=self.min_ttl))
        return token_pb2.GetValidTokenRequest(
            connection=self.reference.message(), min_ttl=min_ttl, rejected_generation=self.rejected_generation
        )


class TokenClient:
    """Access tokens while its context is entered; it closes the channel that it was given, and those it opens.

    watching opens a channel for each stream of events, all of whose calls go to one replica: that another is there
    says nothing of the stream's. deadline is how many seconds a token is asked for before the last error is raised.
    """

    def __init__(
        self,
        channel: grpc.aio.Channel,
        *,
        watching: Open,
        clock: Clock,
        deadline: float = 30.0,
        most: int = MOST,
    ) -> None:
        self._channel = channel
        self._clock = clock
        self._deadline = deadline
        self._stub = token_pb2_grpc.TokenServiceStub(channel)
        self._cache = TokenCache(clock=clock, most=most)
        self._watch = TokenWatch(opening=watching, cache=self._cache, clock=clock)
        self._watching: asyncio.Task[None] | None = None
        self._flights: dict[Wanted, asyncio.Task[Token]] = {}

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] | None = None, *, deadline: float = 30.0) -> Self:
        """Return a client by TOKEN_TARGET, TLS_CA, TLS_CERT and TLS_KEY; call it in a running event loop.

        WrongSetting or ServerMisconfig names the variable that cannot be used.
        """
        settings = parse(TokenClientSettings, os.environ if environ is None else environ)
        clock = SystemClock()
        certificates = settings.certificates(clock)
        channel = open_channel(settings.token_target, certificates=certificates)
        watching = partial(open_pinned, settings.token_target, certificates=certificates)
        return cls(channel, watching=watching, clock=clock, deadline=deadline)

    async def __aenter__(self) -> Self:
        self._watching = asyncio.create_task(self._watch.run())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        tasks = [task for task in (self._watching, *self._flights.values()) if task]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._channel.close()

    async def get(
        self, reference: Reference, *, min_ttl: float = MIN_TTL, rejected_generation: int | None = None
    ) -> Token:
        """Return a token that lasts min_ttl seconds, or one that is not fresh when no better one is to be had.

        rejected_generation is of a token that TikTok did not accept: it is not returned again.
        NeedsConsent, WrongRequest and GiveUp are raised at once, TryLater after the deadline (libs/errors.py).
        """
        if rejected_generation is not None:
            self._cache.reject(reference, rejected_generation)
        known = self._cache.get(reference, min_ttl)
        if known is not None:
            return known
        wanted = Wanted(reference=reference, min_ttl=min_ttl, rejected_generation=rejected_generation)
        return await asyncio.shield(self._flight(wanted))

    async def use(self, reference: Reference, call: Callable[[Token], Awaitable[T]], *, min_ttl: float = MIN_TTL) -> T:
        """Return what call does with a token; once more with another token if it raises Rejected."""
        token = await self.get(reference, min_ttl=min_ttl)
        try:
            return await call(token)
        except Rejected:
            other = await self.get(reference, min_ttl=min_ttl, rejected_generation=token.generation)
        return await call(other)

    def _flight(self, wanted: Wanted) -> asyncio.Task[Token]:
        flight = self._flights.get(wanted)
        if flight is None:
            flight = self._flights[wanted] = asyncio.create_task(self._fetch(wanted))
            flight.add_done_callback(lambda ended: self._land(wanted, ended))
        return flight

    def _land(self, wanted: Wanted, flight: asyncio.Task[Token]) -> None:
        del self._flights[wanted]
        if not flight.cancelled():
            flight.exception()  # nobody may be left to hear of it

    async def _fetch(self, wanted: Wanted) -> Token:
        until, attempt = self._clock.monotonic() + self._deadline, 0
        while True:
            try:
                return await self._ask(wanted, until)
            except PASSING as error:
                pause = pause_after(error, attempt)
                if self._clock.monotonic() + pause >= until:
                    raise
            await self._clock.sleep(pause)
            attempt += 1

    async def _ask(self, wanted: Wanted, until: float) -> Token:
        begun = self._clock.monotonic()
        token = Token.of(await self._stub.GetValidToken(wanted.message(), timeout=until - begun))
        self._cache.keep(wanted.reference, token, begun)
        return token


def pause_after(error: TryLater, attempt: int) -> float:
    """Return seconds: at least what the service asks for, growing, and not the same for all who wait."""
    growing: float = FIRST_PAUSE * 2**attempt
    pause = max(error.retry_after, min(growing, LONGEST_PAUSE))
    return pause * uniform(1.0, 1.2)
