"""Files of rows, one module a kind."""

from collections.abc import Mapping
from types import MappingProxyType

from services.sync.adapters.exports.parquet import parquet_bytes
from services.sync.adapters.exports.texts import csv_bytes, json_lines
from services.sync.domain.exports import Encode, ExportFormat

ENCODERS: Mapping[ExportFormat, Encode] = MappingProxyType(
    {ExportFormat.CSV: csv_bytes, ExportFormat.JSON: json_lines, ExportFormat.PARQUET: parquet_bytes}
)
