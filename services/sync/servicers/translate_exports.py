"""From the messages of export.proto to the domain's values."""

from tokhub.sync.v1 import export_pb2

from services.sync.domain.exports import Dataset, ExportFormat, ExportOrder
from services.sync.domain.reports import Period

DATASETS = {
    export_pb2.DATASET_USER_DAILY: Dataset.USER_DAILY,
    export_pb2.DATASET_VIDEO_DAILY: Dataset.VIDEO_DAILY,
}
FORMATS = {
    export_pb2.EXPORT_FORMAT_CSV: ExportFormat.CSV,
    export_pb2.EXPORT_FORMAT_JSON: ExportFormat.JSON,
    export_pb2.EXPORT_FORMAT_PARQUET: ExportFormat.PARQUET,
}


def order_of(request: export_pb2.ExportStatsRequest, period: Period) -> ExportOrder:
    """Return what is to be exported."""
    return ExportOrder(dataset=DATASETS[request.dataset], format=FORMATS[request.format], period=period)
