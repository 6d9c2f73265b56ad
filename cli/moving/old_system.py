"""Another system whose tokens are taken over, and whether it has stopped: two systems that refresh lose both."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from tokhub.sync.v1 import sync_pb2
from tokhub.token.v1 import token_pb2

from cli.moving.old_database import OldDatabase, Session
from cli.moving.old_tables import FORMS, STORE_COLUMNS, OldRow, OldTable, Record, store_of
from cli.moving.old_tokens import TokenNotOpened, opened

NAMED = 10  # rows that are named when many changed
Look = Mapping[str, str]


class NotTakenOver(Exception):
    """Nothing is taken over; the text says why, and each fault names a row."""

    def __init__(self, why: str, faults: Sequence[str]) -> None:
        super().__init__(why)
        self.faults = faults


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where the rows are: which table of which system it is, what it is called, and who may use it meanwhile."""

    table: OldTable
    called: str
    beside: Sequence[str]


class OldSystem:
    """Reads the rows once, and tells whether anybody has changed one since."""

    def __init__(self, database: OldDatabase, place: Place) -> None:
        self._database = database
        self._place = place
        self._form = FORMS[place.table]
        self._name = place.called or self._form.place
        self._seen: Look = {}

    @property
    def at_once(self) -> int:
        """How many rows are imported at once."""
        return self._form.at_once

    async def rows(self) -> Sequence[OldRow]:
        """Return the rows as they stand."""
        records = await self._records()
        self._seen = self._look(records)
        return [self._form.row_of(record) for record in records]

    async def stores(self) -> Sequence[sync_pb2.CreateStoreRequest]:
        """Return the stores beside the accounts; none for a system that has no stores."""
        if self._place.table is not OldTable.STORES:
            return []
        schema, dot, _ = self._name.rpartition(".")
        records = await self._database.records(f"{schema}{dot}stores", STORE_COLUMNS, "store_code")
        return [store_of(record) for record in records]

    async def stirs(self) -> Sequence[str]:
        """Return what shows that the old system is at work, for people; empty when nothing does."""
        now = self._look(await self._records())
        moved = sorted(name for name in self._seen.keys() | now.keys() if self._seen.get(name) != now.get(name))
        sessions = [one for one in await self._database.sessions() if one.program not in self._place.beside]
        return [*([f"Changed meanwhile: {some_of(moved)}."] if moved else []), *map(session_text, sessions)]

    async def _records(self) -> Sequence[Record]:
        return await self._database.records(self._name, self._form.columns, self._form.order)

    def _look(self, records: Sequence[Record]) -> Look:
        told: dict[str, list[Record]] = {}
        for record in records:
            told.setdefault(self._form.row_of(record).name, []).append(record)
        return {name: hashlib.sha256(json.dumps(rows).encode()).hexdigest() for name, rows in told.items()}


def in_clear(rows: Sequence[OldRow], key: bytes | None) -> Sequence[OldRow]:
    """Return the rows with their refresh tokens in clear; raise NotTakenOver when one does not open."""
    clear, faults = [], []
    for row in rows:
        try:
            clear.append(row if row.left_because else with_token(row, key))
        except TokenNotOpened as error:
            faults.append(f"The refresh token of {row.name} {error}.")
    if faults:
        raise NotTakenOver("Nothing was taken over: tokens of the old system cannot be read.", faults)
    return clear


def with_token(row: OldRow, key: bytes | None) -> OldRow:
    """Return a row with its refresh token in clear; raise TokenNotOpened."""
    entry = token_pb2.ImportEntry()
    entry.CopyFrom(row.entry)
    entry.refresh_token = opened(row.entry.refresh_token, key)
    return replace(row, entry=entry, left_because="" if entry.refresh_token else "it has no refresh token")


def session_text(session: Session) -> str:
    """Return who else uses the old database."""
    who = f"role {session.role or 'not told'}, from {session.address or 'the same machine'}"
    return f"In use by the program '{session.program}' ({who})."


def some_of(names: Sequence[str]) -> str:
    """Return the first of many names, and how many more there are."""
    rest = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {rest} more" if rest > 0 else "")
