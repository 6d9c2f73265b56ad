"""Faults of guessers with a stopwatch: what a refusal, and the time it takes, tells about a key."""

import ast
import asyncio
import inspect
import random
import re
import secrets
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import sqrt
from pathlib import Path
from statistics import fmean, quantiles, variance

from services.gateway import auth
from services.gateway.auth import find_key, parse_keys
from tests.faults.case import case, expect
from tests.faults.gateways import suite
from tests.faults.lab import Lab

SAMPLES = 20_000
MOST_T = 4.5  # reached by chance once in 150,000 tries
# Percent of the times that count: what takes longest says more about the machine than about the key.
KEPT = 90
ROOM = Path(auth.__file__).parent
# Failures are forgotten after a second, or keeping them in mind would be what is measured.
ALONE = {"DATABASE_URL": "", "ADMIN_API_KEY": "", "AUTH_BLOCK_SECONDS": "1"}
DIFFERS = re.compile(rb'(?im)^(?:x-request-id|date|ratelimit-[a-z]+): .*$|"requestId": ?"[^"]*"')
LENGTH = re.compile(rb"(?im)^content-length: (\d+)")


@dataclass(frozen=True)
class Guess:
    """A wrong key; a near one is right but for its last character."""

    near: bool
    key: str


def guesses(right: str) -> Sequence[Guess]:
    """Return as many near keys as far ones, in an order by chance and made alike, or it is the making that is told."""
    kinds = [True, False] * (SAMPLES // 2)
    random.shuffle(kinds)
    made = [(near, (secrets.token_hex(24), right)[near]) for near in kinds]
    return [Guess(near, key[:-1] + random.choice("ghijklmn")) for near, key in made]


def welch(ask: Callable[[str], object], asked: Sequence[Guess]) -> float:
    """Return Welch's t of the times that near and far keys take."""
    taken: dict[bool, list[int]] = {True: [], False: []}
    for guess in asked:
        began = time.perf_counter_ns()
        ask(guess.key)
        ended = time.perf_counter_ns()
        taken[guess.near].append(ended - began)
    longest = quantiles(taken[True] + taken[False], n=100)[KEPT - 1]
    near, far = ([one for one in taken[kind] if one <= longest] for kind in (True, False))
    return (fmean(near) - fmean(far)) / sqrt(variance(near) / len(near) + variance(far) / len(far))


def unequal_ways() -> str:
    """Return what lets some keys go another way than others; nothing when all digests are compared, in one place."""
    tree = ast.parse(inspect.getsource(auth.find_key))
    parts = list(ast.walk(tree))
    if not any(isinstance(part, ast.Attribute) and part.attr == "compare_digest" for part in parts):
        return "find_key does not compare by compare_digest"
    if any(isinstance(part, ast.Compare | ast.Break | ast.While) for part in parts):
        return "find_key compares in other ways too, or stops early"
    users = [path.name for path in sorted(ROOM.rglob("*.py")) if "find_key(" in path.read_text(encoding="utf-8")]
    return "" if users == ["auth.py", "gates.py"] else f"keys are looked for in {users}"


class Guesser:
    """Sends keys over one connection, one after the other."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def guess(self, key: str) -> bytes:
        """Return the answer to a key."""
        return self.ask(b"X-API-KEY: %b\r\n" % key.encode())

    def ask(self, header: bytes) -> bytes:
        """Return the answer to a request with a header line."""
        self._connection.sendall(b"GET /admin/stores HTTP/1.1\r\nHost: gateway\r\n%b\r\n" % header)
        answer = b""
        while not (length := LENGTH.search(answer)) or len(answer.partition(b"\r\n\r\n")[2]) < int(length[1]):
            answer += self._connection.recv(1 << 16)
        return answer


@contextmanager
def guesser(address: str) -> Iterator[Guesser]:
    """Yield somebody who guesses."""
    host, _, port = address.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=60) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield Guesser(connection)


def refusals(one: Guesser, right: str, revoked: str) -> Mapping[str, bytes]:
    """Return what is answered to each kind of wrong key, without what differs from answer to answer anyway."""
    shown = {
        "missing": b"",
        "empty": b"X-API-KEY:\r\n",
        "short": b"X-API-KEY: x\r\n",
        "long": b"X-API-KEY: %b\r\n" % (b"x" * 8_000),
        "no text": b"X-API-KEY: \xff\xfe\r\n",
        "wrong": b"X-API-KEY: %b\r\n" % (b"x" * len(right)),
        "nearly right": b"X-API-KEY: %b\r\n" % right[:-1].encode(),
        "revoked": b"X-API-KEY: %b\r\n" % revoked.encode(),
    }
    return {what: DIFFERS.sub(b"", one.ask(header)) for what, header in shown.items()}


@case(
    "S02",
    fault=f"{SAMPLES:,} wrong keys against a stopwatch, half of them right but for the last character",
    expected=f"one refusal for every kind of wrong key; |t| < {MOST_T} (Welch) inside the process and over HTTP",
    within=900,  # a busy machine answers slowly
)
async def keys_by_the_stopwatch(lab: Lab) -> str:
    expect(not unequal_ways(), unequal_ways())
    revoked, right = secrets.token_hex(24), secrets.token_hex(24)
    (before,) = await suite(lab, "before", gateways={**ALONE, "ADMIN_API_KEYS": f"old:admin:{revoked}"})
    with guesser(before.address) as one:
        expect(b" 200 " in one.guess(revoked)[:16], "the key does not work before it is revoked")
    now = f"now:admin:{right}"
    gateway = await lab.gateway("now", **ALONE, ADMIN_API_KEYS=now)
    keys, asked = parse_keys(now), guesses(right)
    inside = await asyncio.to_thread(welch, lambda key: find_key(keys, key), asked)
    with guesser(gateway.address) as one:
        answers = await asyncio.to_thread(refusals, one, right, revoked)
        outside = await asyncio.to_thread(welch, one.guess, asked)
    expect(len(set(answers.values())) == 1, answers)
    status = answers["missing"].partition(b"\r\n")[0].decode()
    seen = f"{len(answers)} kinds of wrong keys: {status}; t = {inside:.2f} inside, {outside:.2f} over HTTP"
    expect(max(abs(inside), abs(outside)) < MOST_T, seen)
    return seen
