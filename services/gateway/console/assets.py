"""What pages load: our own style and modules, and the charts' library out of its package, all at one fingerprint.

Modules import each other by relative addresses: one fingerprint stands for all, so that no page mixes two versions.
"""

import gzip
import hashlib
from collections.abc import Iterator, Mapping
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from types import MappingProxyType

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

STATIC = "/console/static"
OWN = Path(__file__).parent / "static"
TYPES: Mapping[str, str] = MappingProxyType({"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"})
KEPT = {"Cache-Control": "public, max-age=31536000, immutable"}
PASSING = {"Cache-Control": "no-store"}


class Assets:
    """Files by name, compressed once."""

    def __init__(self) -> None:
        self._plain = {each.name: each.read_bytes() for each in sources()}
        self._packed = {name: gzip.compress(content, mtime=0) for name, content in self._plain.items()}
        digests = [hashlib.sha256(name.encode() + content).digest() for name, content in sorted(self._plain.items())]
        self.fingerprint = hashlib.sha256(b"".join(digests)).hexdigest()[:16]

    def address(self, name: str) -> str:
        """Return where a page finds a file; raise KeyError for none."""
        self._plain[name]
        return f"{STATIC}/{self.fingerprint}/{name}"

    def answer(self, request: Request, fingerprint: str, name: str) -> Response:
        """Return a file; who asks by the fingerprint of another version gets this one, but may not keep it."""
        if name not in self._plain:
            raise HTTPException(404)
        headers = {"Vary": "Accept-Encoding", **(KEPT if fingerprint == self.fingerprint else PASSING)}
        content = self._plain[name]
        if takes_gzip(request):
            content = self._packed[name]
            headers["Content-Encoding"] = "gzip"
        return Response(content, media_type=TYPES[name.rpartition(".")[2]], headers=headers)


def sources() -> Iterator[Traversable]:
    """Yield every file there is."""
    yield from OWN.iterdir()
    yield files("litecharts") / "js" / "lightweight-charts.js"


def takes_gzip(request: Request) -> bool:
    """Return whether the client can unpack gzip."""
    offered = request.headers.get("accept-encoding", "").lower().replace(" ", "").split(",")
    return any(coding in {"gzip", "gzip;q=1", "gzip;q=1.0"} for coding in offered)
