"""Parameters of paths and queries, as their routes declare them."""

from enum import StrEnum
from typing import Annotated, Literal, TypeAlias
from uuid import UUID

from fastapi import Path, Query, Request
from fastapi.dependencies.models import Dependant
from pydantic import AfterValidator, BeforeValidator

from libs.errors import InvalidField
from services.gateway.rules import CHECKPOINT, CODE, DAY, RULES, STORE_CODE, USER_ID, storable, whole_number


class TableFormat(StrEnum):
    """What a table can be sent as."""

    JSON = "json"
    CSV = "csv"


class FileFormat(StrEnum):
    """What an export can be sent as."""

    CSV = "csv"
    JSON = "json"
    PARQUET = "parquet"


class TrailName(StrEnum):
    """Services that have an audit trail."""

    TOKEN = "token"
    SYNC = "sync"


class DatasetName(StrEnum):
    """What can be exported."""

    USER_DAILY = "user_daily"
    VIDEO_DAILY = "video_daily"


StoreInPath: TypeAlias = Annotated[
    str, Path(pattern=STORE_CODE, description=RULES["store_code"], examples=["store_0001"])
]
UserInPath: TypeAlias = Annotated[str, Path(pattern=USER_ID, description=RULES["user_id"], examples=["creator_1"])]
UserInQuery: TypeAlias = Annotated[str, Query(pattern=USER_ID, description=RULES["user_id"], examples=["creator_1"])]
CodeInQuery: TypeAlias = Annotated[str, Query(pattern=CODE, description=RULES["code"])]
StateInQuery: TypeAlias = Annotated[str, Query(pattern=CODE, description=RULES["state"])]
RedirectInQuery: TypeAlias = Annotated[str, Query(max_length=2048, description=RULES["redirect_uri"])]
StoreInQuery: TypeAlias = Annotated[
    str, Query(pattern=STORE_CODE, description=RULES["store_code"], examples=["store_0001"])
]
Days: TypeAlias = Annotated[
    int, BeforeValidator(whole_number), Query(ge=1, le=365, description=f"{RULES['days']}, today included")
]
Limit: TypeAlias = Annotated[int, BeforeValidator(whole_number), Query(ge=1, le=500, description=RULES["limit"])]
FirstDay: TypeAlias = Annotated[
    str, Query(alias="from", pattern=DAY, description=f"First day, {RULES['from']}; 29 days before the last")
]
LastDay: TypeAlias = Annotated[str, Query(alias="to", pattern=DAY, description=f"Last day, {RULES['to']}; today")]
Format: TypeAlias = Annotated[TableFormat, Query(alias="format", description=RULES["format"])]
ToExport: TypeAlias = Annotated[DatasetName, Query(alias="dataset", description=RULES["dataset"])]
ToFile: TypeAlias = Annotated[FileFormat, Query(alias="format", description=RULES["format"])]
Active: TypeAlias = Annotated[
    Literal["true", "false"], Query(description=f"Only runs that have not ended; {RULES['active']}")
]
YesOrNo: TypeAlias = Literal["true", "false"]
Force: TypeAlias = Annotated[YesOrNo, Query(description=f"Also what is not due; {RULES['force']}")]
DryRun: TypeAlias = Annotated[YesOrNo, Query(description=f"Only say what would be done; {RULES['dry_run']}")]
TeamId: TypeAlias = Annotated[int, BeforeValidator(whole_number), Query(description=RULES["team_id"])]
PageToken: TypeAlias = Annotated[str, Query(max_length=256, description=RULES["page_token"])]
Trail: TypeAlias = Annotated[TrailName, Query(alias="service", description=RULES["service"])]
Actor: TypeAlias = Annotated[str, AfterValidator(storable), Query(max_length=300, description=RULES["actor"])]
KeptCheckpoint: TypeAlias = Annotated[str, Query(pattern=CHECKPOINT, description=RULES["checkpoint"])]
ConnectionInPath: TypeAlias = Annotated[UUID, Path(description=RULES["connection_id"])]
RunInPath: TypeAlias = Annotated[UUID, Path(description=RULES["run_id"])]

DEFAULT_DAYS = 30
DEFAULT_LIMIT = 50
MAX_SEQUENCE = 2**63 - 1


async def once_each(request: Request) -> None:
    """Raise InvalidField for a query that gives a parameter twice: which one counts is anybody's guess."""
    names = [name for name, _ in request.query_params.multi_items()]
    for name in names:
        if names.count(name) > 1:
            raise InvalidField(name[:50], "must be given once")


async def known_only(request: Request) -> None:
    """Raise InvalidField for a parameter the route does not have: without it, more may be done than was meant."""
    if request.query_params:
        known = declared(request.scope["route"].dependant)
        for name in request.query_params:
            if name not in known:
                raise InvalidField(name[:50], "is not a parameter of this request")


def declared(route: Dependant) -> set[str]:
    """Return the names of a route's query parameters."""
    own = {parameter.alias for parameter in route.query_params}
    return own.union(*(declared(dependency) for dependency in route.dependencies))


def last_event_id(request: Request) -> int | None:
    """Return the sequence a client has seen, None when it has seen none; raise InvalidField for anything else."""
    values = request.headers.getlist("last-event-id")
    text = ",".join(values)
    if not text:
        return None
    if not (text.isascii() and text.isdecimal()) or len(text) > len(str(MAX_SEQUENCE)) or int(text) > MAX_SEQUENCE:
        raise InvalidField("Last-Event-ID", "must be the id of an event of this run")
    return int(text)


def accepts_events(request: Request) -> bool:
    """Return whether the client asked for server-sent events."""
    ranges = ",".join(request.headers.getlist("accept")).split(",")
    return any(part.split(";")[0].strip().lower() == "text/event-stream" for part in ranges)


def prefers_async(request: Request) -> bool:
    """Return whether the client asked not to wait (RFC 7240)."""
    preferences = ",".join(request.headers.getlist("prefer")).split(",")
    return any(part.split(";")[0].strip().lower() == "respond-async" for part in preferences)
