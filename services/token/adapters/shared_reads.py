"""Connections read lately, in a Redis that replicas share: ciphertext as in the row, and nothing whatever goes wrong.

Nothing here decides what is current: an entry says how long ago it was read, and the reader knows what it has heard of
since. Entries are authenticated, so that none of another form, of another suite or made up is taken for one.
"""

import asyncio
import contextlib
import hmac
import math
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import structlog
from prometheus_client import CollectorRegistry, Counter
from pydantic import TypeAdapter, ValidationError
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from libs.clock import Clock
from libs.errors import ServerMisconfig
from libs.secret import Secret
from services.token.core.cache import Shared
from services.token.core.connections import Held
from services.token.domain.connection import ById, ByOwner, Connection, Reference

PATIENCE = 0.25  # seconds; the database has answered by then
REST = 2.0  # seconds without a question after one that failed
LONGEST = 3_600.0  # seconds an entry is kept; it never outlives its token
CONNECTIONS = 16

# Returns the time in microseconds, and what an entry holds: when it was read, the connection, the token, the seal.
READ = """
local now = redis.call('TIME')
local time = now[1] * 1000000 + now[2]
local id = ARGV[2]
if id == '' then id = redis.pcall('GET', KEYS[1]) end
if type(id) ~= 'string' then return {time} end
local found = redis.pcall('HMGET', ARGV[1] .. id, 'at', 'connection', 'access', 'seal')
if found.err then return {time, 0, '', '', ''} end
if not found[1] then return {time} end
return {time, tonumber(found[1]) or 0, found[2] or '', found[3] or '', found[4] or ''}
"""
# Stores an entry unless one of a newer version is there, or one of the same version that was read later.
WRITE = """
local new = {tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])}
local old = redis.pcall('HMGET', KEYS[1], 'epoch', 'generation', 'at')
if old.err then
    redis.call('DEL', KEYS[1])
    old = {}
end
for place = 1, 3 do
    local there = tonumber(old[place] or '') or -1
    if there > new[place] then return end
    if there < new[place] then break end
end
redis.call('HSET', KEYS[1], 'epoch', ARGV[1], 'generation', ARGV[2], 'at', ARGV[3],
    'connection', ARGV[4], 'access', ARGV[5], 'seal', ARGV[6])
redis.call('PEXPIRE', KEYS[1], ARGV[7])
redis.call('SET', KEYS[2], ARGV[8], 'PX', ARGV[7])
"""

CONNECTION = TypeAdapter(Connection)

log = structlog.get_logger()


class Unavailable(Exception):
    """Redis cannot be asked now."""


class RedisReads:
    """Implements SharedReads; entries of another key are not even found."""

    def __init__(self, client: "Redis", *, key: bytes, registry: CollectorRegistry, clock: Clock) -> None:
        self._client = client
        self._read, self._write = client.register_script(READ), client.register_script(WRITE)
        self._key = key
        self._prefix = f"tokhub:{self._digest(b'prefix').hex()[:16]}"
        self._clock = clock
        self._down = False
        self._rest_until = -math.inf
        self._changed: set[str] = set()
        self._dropping: asyncio.Task[None] | None = None
        self._questions = Counter(
            "tokhub_token_shared_reads", "Questions to the shared cache, by answer.", ["outcome"], registry=registry
        )

    async def get(self, reference: Reference) -> Shared | None:
        """Return what is known of a connection; None when Redis cannot be asked."""
        asked = self._clock.monotonic()
        owner, identity = ("", str(reference.id)) if isinstance(reference, ById) else (self._owner_key(reference), "")
        try:
            moment, *found = await self._ask(self._read, [owner], [self._id_key(""), identity])
        except Unavailable:
            self._questions.labels("unavailable").inc()
            return None
        # Read later than now: the clock of Redis was set back since, and how old the entry is nobody can tell.
        held = self._opened(reference, *found[1:]) if found and found[0] <= moment else None
        self._questions.labels("found" if held else "unreadable" if found else "missing").inc()
        return Shared(held=held, begun=asked - (moment - found[0]) / 1e6 if found else asked, moment=moment)

    async def put(self, held: Held, moment: int) -> None:
        """Store a connection that was read after a moment that get told."""
        connection = held.connection
        life = round(min(connection.seconds_left, LONGEST) * 1000)
        if not connection.can_refresh or life <= 0:
            return
        version, body = connection.version, CONNECTION.dump_json(connection)
        keys = [self._id_key(connection.id), self._owner_key(connection)]
        order = (version.epoch, version.generation, moment)
        entry = (body, held.access, self._seal(body, held.access))
        with contextlib.suppress(Unavailable):
            await self._ask(self._write, keys, [*order, *entry, life, str(connection.id)])

    def changed(self, connection_id: str) -> None:
        """Drop a connection that somebody has changed: soon, and perhaps not at all."""
        self._changed.add(self._id_key(connection_id))
        if self._dropping is None or self._dropping.done():
            self._dropping = asyncio.create_task(self._drop(), name="drop from the shared cache")

    async def drain(self) -> None:
        """Wait until what has changed is dropped."""
        if self._dropping:
            await self._dropping

    async def _drop(self) -> None:
        while self._changed:
            keys, self._changed = self._changed, set()
            with contextlib.suppress(Unavailable):
                await self._ask(self._client.unlink, *keys)

    async def _ask(self, question: Callable[..., Any], *arguments: Any) -> Any:
        now = self._clock.monotonic()
        if now < self._rest_until:
            raise Unavailable
        try:
            async with asyncio.timeout(PATIENCE):
                answer = await question(*arguments)
        except (RedisError, OSError, TimeoutError) as error:
            self._rest_until = now + PATIENCE + REST
            self._tell(down=True, error=type(error).__name__)
            raise Unavailable from None
        self._tell(down=False)
        return answer

    def _tell(self, *, down: bool, error: str = "") -> None:
        if down and not self._down:
            log.warning("shared cache unavailable: connections are read from the database", error=error)
        elif self._down and not down:
            log.info("shared cache available again")
        self._down = down

    def _opened(self, reference: Reference, body: bytes, access: bytes, seal: bytes) -> Held | None:
        if not hmac.compare_digest(self._seal(body, access), seal):
            return None
        try:
            connection = CONNECTION.validate_json(body)
        except ValidationError:  # of a release with other fields
            return None
        names = ById(id=connection.id), ByOwner(provider=connection.provider, owner=connection.owner)
        return Held(connection=connection, access=access) if reference in names else None

    def _seal(self, body: bytes, access: bytes) -> bytes:
        return self._digest(b"entry %d " % len(body) + body + access)

    def _digest(self, data: bytes) -> bytes:
        return hmac.digest(self._key, data, "sha256")

    def _id_key(self, identity: object) -> str:
        return f"{self._prefix}:id:{identity}"

    def _owner_key(self, named: ByOwner | Connection) -> str:
        return f"{self._prefix}:owner:{named.provider}:{named.owner.kind}:{named.owner.id}"


@asynccontextmanager
async def open_redis(
    url: Secret, *, key: bytes, registry: CollectorRegistry, clock: Clock
) -> AsyncIterator[RedisReads]:
    """Yield what asks the Redis of a URL, whether or not it is there; ServerMisconfig if it is none."""
    try:
        pool = BlockingConnectionPool.from_url(
            url.reveal(), max_connections=CONNECTIONS, timeout=PATIENCE, retry=Retry(NoBackoff(), 0)
        )
    except ValueError:
        raise ServerMisconfig("REDIS_URL cannot be read: it must be redis://host:port/number.") from None
    async with Redis.from_pool(pool) as client:
        reads = RedisReads(client, key=key, registry=registry, clock=clock)
        try:
            yield reads
        finally:
            await reads.drain()
