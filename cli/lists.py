"""Reads lists to their end, page by page."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Protocol, TypeVar

from tokhub.token.v1 import token_pb2

from cli.services import Services


class PagedRequest(Protocol):
    """Asks for a page."""

    page_token: str


class Page(Protocol):
    """A part of a list."""

    @property
    def next_page_token(self) -> str:
        """What the next page is asked with; empty on the last."""
        ...


AnyRequest = TypeVar("AnyRequest", bound=PagedRequest)
AnyPage = TypeVar("AnyPage", bound=Page)


async def pages(method: Callable[[AnyRequest], Awaitable[AnyPage]], request: AnyRequest) -> AsyncIterator[AnyPage]:
    """Yield all pages of a list."""
    while True:
        page = await method(request)
        yield page
        if not page.next_page_token:
            return
        request.page_token = page.next_page_token


async def every_connection(
    services: Services, request: token_pb2.ListConnectionsRequest
) -> AsyncIterator[token_pb2.Connection]:
    """Yield the connections that a request asks for, by number."""
    async for page in pages(services.token.connections.ListConnections, request):
        for connection in page.connections:
            yield connection
