"""Snapshots as a file: /admin/export."""

from collections.abc import Mapping
from contextlib import AsyncExitStack
from types import MappingProxyType

from fastapi import APIRouter, Request
from starlette.responses import Response
from tokhub.sync.v1 import export_pb2, report_pb2

from libs.errors import InvalidField
from services.gateway.backends import Backends
from services.gateway.byte_stream import FileStream, Parts
from services.gateway.interruption import CLIENT_LEFT, Interrupted, client_left, unless
from services.gateway.parameters import DatasetName, FileFormat, FirstDay, LastDay, ToExport, ToFile
from services.gateway.routes.tables import attachment

DATASETS: Mapping[DatasetName, export_pb2.Dataset.ValueType] = MappingProxyType(
    {
        DatasetName.USER_DAILY: export_pb2.DATASET_USER_DAILY,
        DatasetName.VIDEO_DAILY: export_pb2.DATASET_VIDEO_DAILY,
    }
)
FORMATS: Mapping[FileFormat, tuple[export_pb2.ExportFormat.ValueType, str]] = MappingProxyType(
    {
        FileFormat.CSV: (export_pb2.EXPORT_FORMAT_CSV, "text/csv; charset=utf-8"),
        FileFormat.JSON: (export_pb2.EXPORT_FORMAT_JSON, "application/x-ndjson"),
        FileFormat.PARQUET: (export_pb2.EXPORT_FORMAT_PARQUET, "application/vnd.apache.parquet"),
    }
)
ENDINGS: Mapping[FileFormat, str] = MappingProxyType(
    {FileFormat.CSV: "csv", FileFormat.JSON: "ndjson", FileFormat.PARQUET: "parquet"}
)


class ExportRoutes:
    """Hands the sync service's files on as they come."""

    def __init__(self, *, backends: Backends) -> None:
        self._exports = backends.exports

    def add_to(self, router: APIRouter) -> None:
        """Declare the route."""
        router.add_api_route(
            "/admin/export",
            self.export,
            summary="Snapshots of all stores as a file",
            tags=["reports"],
            response_class=Response,
        )

    async def export(
        self,
        request: Request,
        dataset: ToExport,
        file_format: ToFile = FileFormat.CSV,
        first: FirstDay = "",
        last: LastDay = "",
    ) -> Response:
        """Answer with a file once its first part is there, so that what can be refused is refused in words."""
        require_chunks(request)
        wire_format, media_type = FORMATS[file_format]
        period = report_pb2.Period(from_date=first, to_date=last)
        order = export_pb2.ExportStatsRequest(dataset=DATASETS[dataset], format=wire_format, period=period)
        headers = attachment(f"{dataset.value}.{ENDINGS[file_format]}")
        async with AsyncExitStack() as unless_sent:
            parts = self._parts(order)
            unless_sent.push_async_callback(parts.aclose)
            try:
                first_part = await first_of(parts, request)
            except Interrupted:
                return Response(status_code=CLIENT_LEFT)
            unless_sent.pop_all()
        return FileStream(first_part, parts, request=request, media_type=media_type, headers=headers)

    async def _parts(self, order: export_pb2.ExportStatsRequest) -> Parts:
        call = self._exports.ExportStats(order)
        try:
            async for part in call:
                yield part.data
        finally:
            call.cancel()


async def first_of(parts: Parts, request: Request) -> bytes:
    """Return the first part; raise Interrupted when the client has left before it."""
    found: list[bytes] = []

    async def wait() -> None:
        found.append(await anext(parts, b""))

    await unless(wait(), client_left(request.receive))
    return found[0]


def require_chunks(request: Request) -> None:
    """Raise InvalidField for HTTP/1.0: there, a file that breaks off looks like a whole one."""
    if request.scope["http_version"] == "1.0":
        raise InvalidField("HTTP version", "must be 1.1: in 1.0 a file that breaks off looks like a whole one")
