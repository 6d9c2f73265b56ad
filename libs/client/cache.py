"""Tokens in memory, served only while it is known that nothing has happened to their connections.

The token service tells what happens. While it is heard, a token that was not dropped is current; once it falls silent
a token is served for two more seconds. An answer is kept only if its call began long enough after the last change of
its connection, and after the stream of events began: a replica of the token service may be as late as that.
"""

import math
from collections import OrderedDict, defaultdict
from datetime import timedelta

from libs.client.token import Reference, Token
from libs.clock import Clock

TRUSTED = 2.0  # seconds after the token service was last heard
LATE = 2.0  # seconds for which a replica may answer with what was before a change
REMEMBERED = 10_000  # changed connections


class TokenCache:
    """Bounded; forgets what was asked for longest ago."""

    def __init__(self, *, clock: Clock, most: int) -> None:
        self._clock = clock
        self._most = most
        self._tokens: OrderedDict[Reference, Token] = OrderedDict()
        self._names: defaultdict[str, set[Reference]] = defaultdict(set)
        self._heard = -math.inf
        self._changed: OrderedDict[str, float] = OrderedDict()
        self._began = math.inf

    def get(self, reference: Reference, min_ttl: float) -> Token | None:
        """Return a token that lasts for so many seconds, if there is one that can be trusted."""
        token = self._tokens.get(reference)
        if token is None or self._clock.monotonic() - self._heard > TRUSTED:
            return None
        if token.expires - self._clock.now() < timedelta(seconds=min_ttl):
            return None
        self._tokens.move_to_end(reference)
        return token

    def keep(self, reference: Reference, token: Token, begun: float) -> None:
        """Keep a fresh token that a call which began at a monotonic time brought, unless what it says may be over."""
        changed = self._changed.get(token.connection_id, -math.inf)
        if not token.fresh or begun < max(changed, self._began) + LATE:
            return
        self._drop(reference)
        self._tokens[reference] = token
        self._names[token.connection_id].add(reference)
        if len(self._tokens) > self._most:
            self._drop(next(iter(self._tokens)))

    def begin(self) -> None:
        """Forget everything: a stream of events begins, and what happened before it was not heard."""
        self._tokens.clear()
        self._names.clear()
        self._changed.clear()
        self._began = self._clock.monotonic()
        self.heard(self._began)

    def heard(self, at: float) -> None:
        """Trust what is kept: the token service was there at a monotonic time and had told everything."""
        self._heard = max(self._heard, at)

    def changed(self, connection_id: str) -> None:
        """Drop a connection to which something has happened."""
        for reference in tuple(self._names.get(connection_id, ())):
            self._drop(reference)
        self._changed[connection_id] = self._clock.monotonic()
        self._changed.move_to_end(connection_id)
        if len(self._changed) > REMEMBERED:
            _, forgotten = self._changed.popitem(last=False)
            self._began = max(self._began, forgotten)

    def reject(self, reference: Reference, generation: int) -> None:
        """Drop a token that TikTok does not accept; another generation stays."""
        token = self._tokens.get(reference)
        if token is not None and token.generation == generation:
            self._drop(reference)

    def _drop(self, reference: Reference) -> None:
        token = self._tokens.pop(reference, None)
        if token is None:
            return
        names = self._names[token.connection_id]
        names.discard(reference)
        if not names:
            del self._names[token.connection_id]
