"""A request's bytes become a message that keeps the rules of its proto, or the error that says what is wrong.

The error is handed on as a value, because what a deserializer raises never reaches an interceptor.
"""

from collections.abc import Callable
from functools import lru_cache, partial
from typing import TypeAlias

import protovalidate
from google.protobuf.message import DecodeError, Message

from libs.errors import InvalidField
from libs.rpc.wording import description_of, field_of

REMEMBERED = 8_192  # requests of a method
SHORT = 512  # bytes of a request that is worth remembering

Parse: TypeAlias = Callable[[bytes], Message]
Unpack: TypeAlias = "Callable[[bytes], Message | Exception]"


def unpacking(parse: Parse) -> Unpack:
    """Return what unpacks the requests of a method."""
    return handing_on_errors(partial(checked, parse))


def unpacking_once(parse: Parse) -> Unpack:
    """Return the same for a method that is asked again and again in the same words, which are read the first time only.

    Its callers share a message, so nobody may change one; and messages stay in memory, so they may hold no secret.
    """
    read = partial(checked, parse)
    known = lru_cache(REMEMBERED)(read)
    return handing_on_errors(lambda content: known(content) if len(content) <= SHORT else read(content))


def handing_on_errors(read: Parse) -> Unpack:
    """Return the same, with its errors as values."""

    def unpack(content: bytes) -> Message | Exception:
        try:
            return read(content)
        except Exception as error:  # noqa: BLE001 - it is raised where the call is answered
            return error

    return unpack


def checked(parse: Parse, content: bytes) -> Message:
    """Return the message; raise InvalidField."""
    try:
        message = parse(content)
    except DecodeError:
        raise InvalidField("request", "is not a message of this method's type") from None
    validate(message)
    return message


def validate(request: Message) -> None:
    """Hold the request against the rules in its proto; raise InvalidField for the first one broken."""
    try:
        # One is told: to look for more would take seconds over a list of many wrong entries.
        protovalidate.validate(request, fail_fast=True)
    except protovalidate.ValidationError as error:
        violation = error.violations[0]
        raise InvalidField(field_of(violation), description_of(request, violation)) from None
