"""Requests that ask for another protocol are read as if they did not: the gateway has one protocol, HTTP/1.1."""

from typing import TYPE_CHECKING

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

if TYPE_CHECKING:
    from array import array

ASKS = b"upgrade"  # the header that names the other protocol; without it, Connection: Upgrade means nothing


class PlainParser(httptools.HttpRequestParser):
    """httptools' parser, which takes what follows a head with Upgrade for its body, not for another protocol."""

    def __init__(self, protocol: HttpToolsProtocol) -> None:
        super().__init__(protocol)
        # As uvicorn has it: the request before such data is answered.
        self.set_dangerous_leniencies(lenient_data_after_close=True)
        self._protocol = protocol

    def feed_data(self, data: "bytes | bytearray | memoryview | array[int]") -> None:
        """Parse; HttpParserError for what is no request, and for CONNECT, which asks for a tunnel."""
        try:
            super().feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            if self.get_method() == b"CONNECT":
                raise httptools.HttpParserError("this is no proxy") from None
            head, follows = self._plain_head(), memoryview(data)[upgrade.args[0] :]
            # This parser has skipped the body already: the head is read once more, by one that has not.
            self._protocol.parser = PlainParser(self._protocol)
            self._protocol.parser.feed_data(head + follows)

    def _plain_head(self) -> bytes:
        """Return the head that was just read, without its wish."""
        first = b"%s %s HTTP/%s" % (self.get_method(), self._protocol.url, self.get_http_version().encode())
        headers = [b"%s: %s" % (name, value) for name, value in self._protocol.headers if name != ASKS]
        return b"\r\n".join([first, *headers, b"", b""])
