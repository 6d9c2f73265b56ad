"""Public keys at an address: fetched by one request for all, and the last known ones used while they cannot be had."""

import asyncio
import http.client
import json
from collections.abc import Iterable
from typing import Any
from urllib.request import HTTPRedirectHandler, ProxyHandler, build_opener

import jwt
import structlog
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from libs.clock import Clock
from libs.errors import UpstreamUnavailable

FETCH_TIMEOUT = 5.0  # seconds
MAX_KEYS = 1 << 20  # bytes
KEYS_LIVE = 300.0  # seconds until a key that was taken out of the set is refused
KEYS_LAST = 3_600.0  # seconds for which keys are used while newer ones cannot be had
FETCH_EVERY = 30.0  # seconds at least between two fetches for key ids that are new
TRY_EVERY = 10.0  # seconds between tries while the address does not answer

# What comes of an answer that is no set of keys, however it is none.
UNUSABLE = (jwt.PyJWTError, http.client.HTTPException, ValueError, TypeError, AttributeError, RecursionError)

log = structlog.get_logger()


class NoRedirects(HTTPRedirectHandler):
    """Keys are where the operator said, and nowhere else."""

    def redirect_request(self, *_redirected: Any) -> None:
        """Follow nothing."""


class KeySet:
    """The keys, fetched when they are needed, and again for a key id that is new.

    Whoever comes first waits for them. While the address does not answer nobody waits: there are keys, or there are
    not, and a token asks for them in the background every TRY_EVERY seconds.
    """

    algorithms = ("RS256", "ES256")

    def __init__(self, url: str, *, clock: Clock) -> None:
        self._url = url
        self._clock = clock
        self._keys: dict[str, jwt.PyJWK] = {}
        self._had_at = self._tried_at = -KEYS_LAST
        self._answers = True
        self._fetching: asyncio.Task[None] | None = None
        self.fetched = self.failed = 0

    async def key_of(self, token: str) -> jwt.PyJWK:
        """Return the key that the token names; raise jwt.PyJWTError for none, UpstreamUnavailable for none now."""
        kid: str = jwt.get_unverified_header(token).get("kid", "")
        await self._look(kid)
        if self.age > KEYS_LAST or (kid not in self._keys and not self._answers):
            raise UpstreamUnavailable(
                "The keys of users' tokens cannot be fetched now: try again later.", retry_after=TRY_EVERY
            )
        key = self._keys.get(kid)
        if key is None or key.algorithm_name not in self.algorithms:
            raise jwt.InvalidKeyError
        return key

    async def _look(self, kid: str) -> None:
        if self.age <= KEYS_LIVE and kid in self._keys:
            return
        pause = TRY_EVERY if not self._answers else FETCH_EVERY if self.age <= KEYS_LIVE else 0.0
        if self._fetching is None and self._clock.monotonic() - self._tried_at >= pause:
            self._tried_at = self._clock.monotonic()
            self._fetching = asyncio.create_task(self._fetch())
        if self._fetching and self._answers:
            # Who leaves takes nobody's keys along.
            await asyncio.shield(self._fetching)

    @property
    def age(self) -> float:
        """Seconds since the keys were had, more than KEYS_LAST before."""
        return self._clock.monotonic() - self._had_at

    async def _fetch(self) -> None:
        try:
            async with asyncio.timeout(FETCH_TIMEOUT):
                self._keys = await asyncio.to_thread(published, self._url)
            self._had_at, self._answers = self._clock.monotonic(), True
            self.fetched += 1
        except (OSError, *UNUSABLE) as error:
            log.warning("the keys at USER_JWKS_URL cannot be had", error=type(error).__name__)
            self._answers = False
            self.failed += 1
        finally:
            self._fetching = None


class KeySetMetrics(Collector):
    """Collects from another thread: it only looks."""

    def __init__(self, keys: KeySet) -> None:
        self._keys = keys

    def collect(self) -> Iterable[Metric]:
        """Return how old the keys are and how fetching them went."""
        fetches = CounterMetricFamily(
            "tokhub_user_keys_fetches", "Fetches of the keys at USER_JWKS_URL.", labels=["outcome"]
        )
        fetches.add_metric(["fetched"], self._keys.fetched)
        fetches.add_metric(["failed"], self._keys.failed)
        age = GaugeMetricFamily("tokhub_user_keys_age_seconds", "Time since those keys were had.", value=self._keys.age)
        return fetches, age


def published(url: str) -> dict[str, jwt.PyJWK]:
    """Return the keys for signatures at an address by their ids, asked without a proxy; ValueError for none."""
    with build_opener(ProxyHandler({}), NoRedirects()).open(url, timeout=FETCH_TIMEOUT) as response:
        keys = jwt.PyJWKSet.from_dict(json.loads(response.read(MAX_KEYS))).keys
    found = {key.key_id: key for key in keys if key.key_id and key.public_key_use in {"sig", None}}
    if not found:
        raise ValueError("no key for signatures")
    return found
