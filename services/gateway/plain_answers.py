"""Answers to HTTP/1.0, which knows no chunks: one whose length nobody can tell ends with its connection."""

from typing import TYPE_CHECKING

from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

if TYPE_CHECKING:
    from uvicorn._types import ASGI3Application, ASGIReceiveCallable, ASGISendCallable, ASGISendEvent, Scope


def without_chunks(cycle: RequestResponseCycle, app: "ASGI3Application") -> "ASGI3Application":
    """Return an application whose answers of unknown length uvicorn sends as they are."""

    async def answer(scope: "Scope", receive: "ASGIReceiveCallable", send: "ASGISendCallable") -> None:
        is_measured = True

        async def send_plain(message: "ASGISendEvent") -> None:
            nonlocal is_measured
            if message["type"] == "http.response.start":
                is_measured = b"content-length" in dict(message["headers"])
                cycle.chunked_encoding = None if is_measured else False
            elif message["type"] == "http.response.body" and not is_measured:
                # uvicorn compares what it sends with a length that it was told.
                cycle.expected_content_length = len(message["body"])
            await send(message)

        await app(scope, receive, send_plain)

    return answer
