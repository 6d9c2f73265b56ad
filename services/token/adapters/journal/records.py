"""Records of a journal file: framed, sealed, and bound to their place in it.

A file is a header (magic, a random file id, the id of the database it belongs to) followed by records. A record is the
length of its sealed body, the CRC-32 of that length, and the body, sealed for (purpose, file, database, number): none
can be moved, doubled or taken out of the middle without being noticed. One that a crash cut off can only be the last.
"""

import struct
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from uuid import UUID

from libs.vault.ring import CannotOpen, KeyRing, UnknownKey, place_of
from services.token.core.journal import JournalCorrupt

MAGIC = b"tokhubj1"
HEADER = struct.Struct(">8s16s16s")
HEADER_BYTES = HEADER.size
FRAME = struct.Struct(">II")
PURPOSE = "tokhub/journal/v1"


def header(file_id: UUID, database: UUID) -> bytes:
    """Return the first bytes of a file."""
    return HEADER.pack(MAGIC, file_id.bytes, database.bytes)


def database_of(path: Path) -> UUID | None:
    """Return the id of the database a file belongs to; None for a file that was cut off in its header."""
    with path.open("rb") as file:
        first = file.read(HEADER_BYTES)
    if len(first) < HEADER_BYTES:
        return None
    magic, _, database = HEADER.unpack(first)
    if magic != MAGIC:
        raise JournalCorrupt(f"{path} is not a journal of this release")
    return UUID(bytes=database)


def record(ring: KeyRing, head: bytes, number: int, body: bytes) -> bytes:
    """Return a body as the record of that number in the file with that header."""
    sealed = ring.seal(body, place(head, number))
    length = len(sealed).to_bytes(4, "big")
    return FRAME.pack(len(sealed), zlib.crc32(length)) + sealed


def place(head: bytes, number: int) -> bytes:
    """Return what a record is bound to."""
    return place_of(PURPOSE, head.hex(), str(number))


def read_bodies(path: Path, ring: KeyRing) -> Iterator[bytes]:
    """Yield the bodies of a file in order, without a record that was cut off at its end; raise JournalCorrupt."""
    return bodies_in(path.read_bytes(), path, ring)


def bodies_in(content: bytes, path: Path, ring: KeyRing) -> Iterator[bytes]:
    """Yield the bodies of what was read from a file, as read_bodies does."""
    if len(content) < HEADER_BYTES:
        return
    head = content[:HEADER_BYTES]
    if not head.startswith(MAGIC):
        raise JournalCorrupt(f"{path} is not a journal of this release")
    offset, number = HEADER_BYTES, 0
    while (end := record_end(content, offset, path)) is not None:
        try:
            yield ring.open(content[offset + FRAME.size : end], place(head, number))
        except UnknownKey:
            raise JournalCorrupt(f"{path} is sealed with a key that is not set: add it to TOKEN_ENC_KEYS") from None
        except CannotOpen:
            if end == len(content):
                return
            raise JournalCorrupt(damaged(path, offset)) from None
        offset, number = end, number + 1


def faults(content: bytes, path: Path, ring: KeyRing) -> Iterator[str]:
    """Yield for each record of what was read from a file why it does not open, empty if it does; end where none is."""
    head, offset, number = content[:HEADER_BYTES], HEADER_BYTES, 0
    with suppress(JournalCorrupt):
        while (end := record_end(content, offset, path)) is not None:
            try:
                ring.open(content[offset + FRAME.size : end], place(head, number))
                yield ""
            except CannotOpen as error:
                yield str(error)
            offset, number = end, number + 1


def record_end(content: bytes, offset: int, path: Path) -> int | None:
    """Return where the record at offset ends; None when there is none or it was cut off."""
    if len(content) - offset < FRAME.size:
        return None
    length, checksum = FRAME.unpack_from(content, offset)
    if zlib.crc32(length.to_bytes(4, "big")) != checksum:
        # A file system may lengthen a file before it has written it: zeros at the end are a cut-off record.
        if not any(content[offset:]):
            return None
        raise JournalCorrupt(damaged(path, offset))
    end = offset + FRAME.size + length
    return end if end <= len(content) else None


def damaged(path: Path, offset: int) -> str:
    """Return the line a person gets to see."""
    return (
        f"{path} is damaged at byte {offset}: restore it from a copy, or move it away and accept that connections "
        "refreshed since the database was last saved may have to be made again"
    )
