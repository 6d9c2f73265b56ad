"""Hands out many access tokens at once: what is at hand comes of one query, and each of the rest ends by itself."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import structlog

from libs.errors import ConnectionNotFound, DeadlineExceeded, Internal, InvalidField, TokhubError
from services.token.core.connections import Held
from services.token.core.tokens import TokensPort, ValidToken
from services.token.domain.connection import Need, Reference

AT_ONCE = 20  # refreshes waited for at once by one batch

log = structlog.get_logger()

Answer = ValidToken | TokhubError


@dataclass(frozen=True, kw_only=True)
class Want:
    """One item of a batch."""

    reference: Reference
    need: Need


class BulkPort(Protocol):
    """Rows of connections, many at once."""

    async def find_all(self, references: Sequence[Reference]) -> Mapping[Reference, Held]:
        """Return the connections that exist, by the references that name them."""
        ...


class BatchTokens:
    """Answers a batch item by item: none makes another fail."""

    def __init__(self, *, rows: BulkPort, tokens: TokensPort) -> None:
        self._rows = rows
        self._tokens = tokens

    async def get(self, wants: Sequence[Want | InvalidField], within: float) -> Sequence[Answer]:
        """Return a token or an error for each item, in order, within so many seconds; raise StorageUnavailable."""
        held = await self._rows.find_all([want.reference for want in wants if isinstance(want, Want)])
        turns = asyncio.Semaphore(AT_ONCE)
        tasks = [asyncio.create_task(self._answer(want, held, turns)) for want in wants]
        try:
            if tasks:
                await asyncio.wait(tasks, timeout=within)
            return [task.result() if task.done() else DeadlineExceeded() for task in tasks]
        finally:
            for task in tasks:
                task.cancel()

    async def _answer(
        self, want: Want | InvalidField, found: Mapping[Reference, Held], turns: asyncio.Semaphore
    ) -> Answer:
        if isinstance(want, InvalidField):
            return want
        held = found.get(want.reference)
        if held is None:
            return ConnectionNotFound()
        try:
            if want.need.met_by(held.connection):
                return await self._tokens.meet(held, want.need)
            async with turns:
                return await self._tokens.meet(held, want.need)
        except TokhubError as error:
            return error
        except Exception:
            log.exception("item of a batch broke off", connection=str(held.connection.id))
            return Internal()
