"""Parts of a page that fail by themselves: what else there is to see is shown."""

from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Generic, TypeVar

from libs.errors import TokhubError
from services.gateway.console.pages import problem

Value = TypeVar("Value")


@dataclass(frozen=True, kw_only=True)
class Section(Generic[Value]):
    """What a part shows, or why it cannot."""

    value: Value | None = None
    problem: str = ""


async def section(asking: Awaitable[Value]) -> Section[Value]:
    """Return what was asked for, or what a person is told instead."""
    try:
        return Section(value=await asking)
    except TokhubError as error:
        return Section(problem=problem(error))
