"""A request that comes again in the same words is read once, and refused every time if it is wrong."""

from google.protobuf.message import Message
from tokhub.token.v1 import token_pb2

from libs.errors import InvalidField
from libs.rpc.unpack import SHORT, unpacking_once

ID = "6f1c2f0e-6d0b-4f83-9a53-0a4a1b2c3d4e"


class CountingParser:
    """Parses, and notes what it was given."""

    def __init__(self) -> None:
        self.read: list[bytes] = []

    def __call__(self, content: bytes) -> Message:
        self.read.append(content)
        return token_pb2.GetValidTokenRequest.FromString(content)


def words(connection_id: str = ID, padding: int = 0) -> bytes:
    """Return a request's bytes, longer by fields that its reader does not know."""
    request = token_pb2.GetValidTokenRequest(connection=token_pb2.ConnectionReference(connection_id=connection_id))
    unknown_field = b"\xfa\x7f" + bytes([0x80 | (padding & 0x7F), padding >> 7]) + b"x" * padding
    return request.SerializeToString() + (unknown_field if padding else b"")


def test_the_same_words_are_read_once() -> None:
    parser = CountingParser()
    unpack = unpacking_once(parser)

    answers = [unpack(words()), unpack(words())]

    assert answers == [token_pb2.GetValidTokenRequest.FromString(words())] * 2
    assert parser.read == [words()]


def test_other_words_are_other_requests() -> None:
    unpack = unpacking_once(CountingParser())
    first, second = unpack(words()), unpack(words("7a1c2f0e-6d0b-4f83-9a53-0a4a1b2c3d4e"))

    assert isinstance(first, token_pb2.GetValidTokenRequest)
    assert isinstance(second, token_pb2.GetValidTokenRequest)
    assert first.connection.connection_id != second.connection.connection_id


def test_long_requests_are_not_remembered() -> None:
    parser = CountingParser()
    unpack = unpacking_once(parser)

    assert all(isinstance(unpack(words(padding=SHORT)), Message) for _ in range(2))
    assert len(parser.read) == 2


def test_what_breaks_a_rule_is_refused_every_time() -> None:
    unpack = unpacking_once(CountingParser())

    refused = [unpack(words("no uuid")), unpack(words("no uuid")), unpack(b"\xff"), unpack(b"\xff")]

    assert [error.metadata.get("field") for error in refused if isinstance(error, InvalidField)] == [
        "connection.connection_id",
        "connection.connection_id",
        "request",
        "request",
    ]
