"""A file sent as it is made: whole, or cut off so that everybody sees that it is not."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing

import structlog
from fastapi import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from libs.errors import TokhubError
from services.gateway.access import answers_head
from services.gateway.event_stream import emit
from services.gateway.interruption import Interrupted, client_left, unless
from services.gateway.standing import lapse

Parts = AsyncGenerator[bytes, None]

log = structlog.get_logger()


class FileStream(Response):
    """Sends parts of a file of unknown length; the source ends when the client leaves or may not stay.

    An answer that is not ended in order makes the server close the connection, which clients tell as an error.
    """

    def __init__(
        self, first: bytes, rest: Parts, *, request: Request, media_type: str, headers: Mapping[str, str]
    ) -> None:
        super().__init__(headers=dict(headers), media_type=media_type)
        del self.headers["content-length"]
        self._first = first
        self._rest = rest
        self._request = request

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send until the file or the client's patience has ended, or whoever asked may not stay."""
        async with aclosing(self._rest):
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            if answers_head(scope):
                await send({"type": "http.response.body", "body": b"", "more_body": False})
                return
            try:
                await unless(self._send_all(send), client_left(receive), lapse(self._request))
            except Interrupted:
                log.info("file stream ended early: its client left")
            except TimeoutError:
                log.warning("file stream cut off: its client does not read")
            except TokhubError as error:
                log.warning("file stream cut off", reason=error.reason.value)

    async def _send_all(self, send: Send) -> None:
        await emit(send, self._first)
        async for part in self._rest:
            await emit(send, part)
        await send({"type": "http.response.body", "body": b"", "more_body": False})
