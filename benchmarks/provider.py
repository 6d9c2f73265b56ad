"""A TikTok Shop that costs next to nothing: rotates strictly, answers after a set delay, and counts.

It speaks so much of HTTP as the token service needs. The sandbox would be the slower side of what is measured here.
"""

import asyncio
import json
import os
import time
from collections import Counter
from collections.abc import Mapping
from typing import cast
from urllib.parse import parse_qsl, urlsplit

from libs.process import run

REFRESH, SHOPS, COUNTS = "/api/v2/token/refresh", "/authorization/202309/shops", "/counts"
DEAD_TOKEN = 36004005
ACCESS_LIFE, REFRESH_LIFE = 7 * 86_400, 180 * 86_400  # seconds
FILLING = "x" * 80  # brings tokens to about the length of TikTok's


def first_token(account: int) -> str:
    """Return the refresh token that an account begins with."""
    return refresh_token(str(account), 0)


def refresh_token(account: str, generation: int) -> str:
    """Return one refresh token of an account."""
    return f"TTP_refresh-{account}-{generation}-{FILLING}"


class Shop:
    """All accounts: which refresh token of each is alive, and what was asked for so far."""

    def __init__(self) -> None:
        self._generations: Counter[str] = Counter()
        self.counts: Counter[str] = Counter(refreshed=0, refused=0, shops=0)

    def answer(self, path: str, query: Mapping[str, str], token: str) -> Mapping[str, object]:
        """Return the body of an answer."""
        if path == COUNTS:
            return dict(self.counts)
        if path == SHOPS:
            self.counts["shops"] += 1
            return success({"shops": [shop_of(token.split("-")[1])]})
        return self._rotate(query["refresh_token"])

    def _rotate(self, presented: str) -> Mapping[str, object]:
        _, account, generation, _ = presented.split("-")
        if int(generation) != self._generations[account]:
            self.counts["refused"] += 1
            return {"code": DEAD_TOKEN, "message": "refresh token is invalid", "data": {}}
        self.counts["refreshed"] += 1
        self._generations[account] += 1
        now = int(time.time())
        return success(
            {
                "access_token": f"TTP_access-{account}-{self._generations[account]}-{FILLING}",
                "access_token_expire_in": now + ACCESS_LIFE,
                "refresh_token": refresh_token(account, self._generations[account]),
                "refresh_token_expire_in": now + REFRESH_LIFE,
                "open_id": f"account-{account}",
                "granted_scopes": ["seller.order.info", "seller.product.basic"],
            }
        )


def success(data: Mapping[str, object]) -> Mapping[str, object]:
    """Return the body around data."""
    return {"code": 0, "message": "Success", "data": data}


def shop_of(account: str) -> Mapping[str, str]:
    """Return the one shop of an account."""
    return {
        "id": f"7{account.zfill(18)}",
        "cipher": f"ROW_{account.zfill(20)}",
        "name": f"Shop {account}",
        "region": "GB",
        "seller_type": "LOCAL",
    }


class Caller(asyncio.Protocol):
    """One connection with one request; of its headers only the access token matters."""

    def __init__(self, shop: Shop, delay: float) -> None:
        self._shop = shop
        self._delay = delay
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember whom to answer."""
        self._transport = cast("asyncio.WriteTransport", transport)

    def data_received(self, data: bytes) -> None:
        """Answer a whole request, later when it is one that TikTok would think about."""
        self._received += data
        if b"\r\n\r\n" not in self._received:
            return
        head = self._received.decode("latin-1").split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in head[1:] if ": " in line)
        url = urlsplit(head[0].split(" ")[1])
        token = headers.get("x-tts-access-token", "")
        body = json.dumps(self._shop.answer(url.path, dict(parse_qsl(url.query)), token)).encode()
        if url.path == REFRESH:
            asyncio.get_running_loop().call_later(self._delay, self._send, body)
        else:
            self._send(body)

    def _send(self, body: bytes) -> None:
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        self._transport.write(f"{head}Connection: close\r\n\r\n".encode() + body)
        self._transport.close()


async def serve(stop: asyncio.Event) -> None:
    """Answer until told to stop; DELAY is how many seconds a refresh takes."""
    shop, delay = Shop(), float(os.environ.get("DELAY", "0"))
    server = await asyncio.get_running_loop().create_server(lambda: Caller(shop, delay), "127.0.0.1", 0, backlog=1024)
    print(json.dumps({"msg": "serving", "port": server.sockets[0].getsockname()[1]}), flush=True)
    await stop.wait()
    server.close()


if __name__ == "__main__":
    run(serve)
