"""The envelopes of 2xx answers."""

from collections.abc import Sequence
from typing import Any

from starlette.responses import JSONResponse


def one(data: Any) -> JSONResponse:
    """Return a single thing."""
    return JSONResponse({"success": True, "data": data})


def many(data: Sequence[Any]) -> JSONResponse:
    """Return things and how many they are."""
    return JSONResponse({"success": True, "data": data, "count": len(data)})


def page(data: Sequence[Any], next_page_token: str) -> JSONResponse:
    """Return a page of things; its token asks for the next page, and is null on the last."""
    told = {"success": True, "data": data, "count": len(data), "nextPageToken": next_page_token or None}
    return JSONResponse(told)
