"""Completes the framework's document: what each operation answers, with examples, and every code it refuses with."""

from collections.abc import Iterator, Mapping
from typing import Any

from libs.errors import Reason
from services.gateway.errors import STATUSES, WORDS
from services.gateway.openapi.answers import ANSWERS, ERROR, JSON, UNDESCRIBED, Answer
from services.gateway.openapi.examples import Json, example_of, schema_of

DESCRIPTIONS = {200: "Done", 201: "Created", 202: "Accepted", 204: "Nothing to say", 302: "To TikTok", 503: "Unhealthy"}
# What the framework says about errors that it never gets to answer here.
UNUSED = ("HTTPValidationError", "ValidationError")
ERROR_SCHEMA = {"$ref": "#/components/schemas/Error"}
# Of every call to a service behind the gateway, and of the gateway itself.
BEHIND = (Reason.STORAGE_UNAVAILABLE, Reason.UPSTREAM_UNAVAILABLE, Reason.DEADLINE_EXCEEDED, Reason.INTERNAL)
AT_THE_GATE = (Reason.UNAUTHENTICATED, Reason.RATE_LIMITED, Reason.LOCKED_OUT, Reason.INVALID_FIELD)
CHANGING = frozenset({"post", "patch", "delete"})


def complete(document: Json) -> Json:
    """Return the document with the answers of every operation."""
    schemas = document["components"]["schemas"]
    schemas["Error"] = schema_of(ERROR)
    for name in UNUSED:
        schemas.pop(name, None)
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            answer = ANSWERS.get(f"{method.upper()} {path}", UNDESCRIBED)
            operation["responses"] = responses(answer, dict(codes(answer, method, operation)))
    return document


def codes(answer: Answer, method: str, operation: Json) -> Iterator[tuple[str, int]]:
    """Yield the codes an operation may refuse with, and the status of each."""
    reasons = {*answer.reasons, *BEHIND, *gate_reasons(method, operation)}
    for reason in sorted(reasons):
        yield WORDS.get(reason, reason.value), answer.moved.get(reason, STATUSES[reason])
    for code in answer.words:
        yield code, STATUSES[Reason.INTERNAL]


def gate_reasons(method: str, operation: Json) -> Iterator[Reason]:
    """Yield what is refused before a route is asked, by what the operation asks for."""
    if operation.get("parameters") or "requestBody" in operation:
        yield Reason.INVALID_FIELD
    if "oauth" in operation["tags"]:
        yield from (Reason.RATE_LIMITED, Reason.INVALID_FIELD)
    schemes = {name for scheme in operation.get("security", ()) for name in scheme}
    if schemes:
        yield from AT_THE_GATE
    # A user may only reach their own; a key may only read.
    if {"ApiKey", "UserToken"} <= schemes or ("ApiKey" in schemes and method in CHANGING):
        yield Reason.NOT_ALLOWED


def responses(answer: Answer, status_of: Mapping[str, int]) -> Json:
    """Return an operation's responses by status."""
    refused: dict[int, list[str]] = {}
    for code, status in status_of.items():
        refused.setdefault(status, []).append(code)
    for status in (413, 415):
        refused[status] = ["INVALID_REQUEST"]
    described = {status: success(status, content) for status, content in answer.said.items()}
    for status, words in refused.items():
        described.setdefault(status, failure(words, answer.errors))
    return {str(status): described[status] for status in sorted(described)}


def success(status: int, content: Mapping[str, Any]) -> Json:
    """Return a response by its examples."""
    described: Json = {"description": DESCRIPTIONS[status]}
    if content:
        described["content"] = {
            media: {"schema": schema_of(example), "example": example_of(example)} if example else {"schema": {}}
            for media, example in content.items()
        }
    return described


def failure(words: list[str], media: str) -> Json:
    """Return a response that is an error, with an example for each of its codes."""
    content: Json = {media: {"schema": {"type": "string"}}}
    if media == JSON:
        content = {JSON: {"schema": ERROR_SCHEMA, "examples": {word: {"value": error_of(word)} for word in words}}}
    return {"description": ", ".join(words), "content": content}


def error_of(word: str) -> Json:
    """Return an example of an error with this code."""
    example = example_of(ERROR)
    return {**example, "error": {"code": word, "message": "What happened, to what, and what to do next"}}
