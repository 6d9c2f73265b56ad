"""Hands rows of another system to the services, some at a time, and stops when that system turns out to be at work."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tokhub.sync.v1 import sync_pb2
from tokhub.token.v1 import token_pb2

from cli.moving.old_system import OldSystem
from cli.moving.old_tables import OldRow
from cli.services import Services
from libs.errors import InvalidField, StoreExists

PATIENCE = 900.0  # seconds for the most that are imported at once
LEFT, NOT_TRIED = "LEFT", "NOT_TRIED"
FAILED = frozenset({"REFUSED", "OWNER_TAKEN", "INVALID"})


@dataclass(frozen=True, kw_only=True)
class Ended:
    """What became of a row."""

    row: OldRow
    outcome: str
    connection_id: str = ""
    message: str = ""


@dataclass(frozen=True, kw_only=True)
class Moved:
    """What became of all rows, how many stores were created, and what showed that the old system was at work."""

    rows: Sequence[Ended]
    stores: int = 0
    stirs: Sequence[str] = ()


See = Callable[[Sequence[Ended]], None]


async def create_stores(services: Services, stores: Sequence[sync_pb2.CreateStoreRequest]) -> int:
    """Create the stores that are not there; return how many were created. InvalidField names the store."""
    created = 0
    for store in stores:
        try:
            await services.sync.stores.CreateStore(store)
            created += 1
        except StoreExists:
            continue
        except InvalidField as error:
            raise InvalidField(f"store {store.store_code}", f"cannot be created: {error.message}") from None
    return created


async def take_over(services: Services, system: OldSystem, rows: Sequence[OldRow], see: See) -> Moved:
    """Import the rows; each is seen as it ends. Nothing is begun once the old system has moved."""
    ended = [Ended(row=row, outcome=LEFT, message=row.left_because) for row in rows if row.left_because]
    todo = [row for row in rows if not row.left_because]
    see(ended)
    while todo:
        if stirs := await system.stirs():
            return Moved(rows=[*ended, *(Ended(row=row, outcome=NOT_TRIED) for row in todo)], stirs=stirs)
        part, todo = todo[: system.at_once], todo[system.at_once :]
        ended += await imported(services, part)
        see(ended)
    return Moved(rows=ended, stirs=await system.stirs())


async def imported(services: Services, rows: Sequence[OldRow]) -> Sequence[Ended]:
    """Import some rows at once."""
    request = token_pb2.ImportConnectionsRequest(entries=[row.entry for row in rows])
    told = await services.token.connections.ImportConnections(request, timeout=PATIENCE)
    return [
        Ended(
            row=row,
            outcome=token_pb2.ImportOutcome.Name(result.outcome).removeprefix("IMPORT_OUTCOME_"),
            connection_id=result.connection_id,
            message=result.message,
        )
        for row, result in zip(rows, told.results, strict=True)
    ]
