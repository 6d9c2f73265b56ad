"""Reads all stores as a connector of airbyte-cdk does, and tells what that took; runs in a place of its own.

What to read comes as JSON on standard input, what it took goes to standard output. Nothing is stored.
"""

import json
import logging
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

from airbyte_cdk.models import (
    AirbyteStream,
    ConfiguredAirbyteCatalog,
    ConfiguredAirbyteStream,
    DestinationSyncMode,
    SyncMode,
    Type,
)
from airbyte_cdk.sources.declarative.concurrent_declarative_source import ConcurrentDeclarativeSource

Json = Mapping[str, Any]


def stream(name: str, asked: Json, tokens: Sequence[str], *, records: Sequence[str]) -> Json:
    """Return a stream that makes one request for each token."""
    return {
        "type": "DeclarativeStream",
        "name": name,
        "schema_loader": {"type": "InlineSchemaLoader", "schema": {"type": "object", "properties": {}}},
        "retriever": {
            "type": "SimpleRetriever",
            "requester": {
                "type": "HttpRequester",
                "request_headers": {"Authorization": "Bearer {{ stream_partition.token }}"},
                **asked,
            },
            "record_selector": {
                "type": "RecordSelector",
                "extractor": {"type": "DpathExtractor", "field_path": ["data", *records]},
            },
            "partition_router": {"type": "ListPartitionRouter", "cursor_field": "token", "values": list(tokens)},
        },
    }


def manifest(task: Json) -> Json:
    """Return the connector: accounts and one page of videos for each token."""
    called = {"url_base": task["origin"]}
    users = {"path": "/v2/user/info/", "request_parameters": {"fields": task["user_fields"]}, "http_method": "GET"}
    videos = {
        "path": "/v2/video/list/",
        "request_parameters": {"fields": task["video_fields"]},
        "request_body_json": {"max_count": task["page_size"]},
        "http_method": "POST",
    }
    workers = task["workers"]
    return {
        "type": "DeclarativeSource",
        "version": "7.0.0",
        "check": {"type": "CheckStream", "stream_names": ["users"]},
        "concurrency_level": {
            "type": "ConcurrencyLevel",
            "default_concurrency": workers,
            "max_concurrency": workers,
        },
        "streams": [
            stream("users", {**called, **users}, task["tokens"], records=["user"]),
            stream("videos", {**called, **videos}, task["tokens"], records=["videos", "*"]),
        ],
    }


def catalog() -> ConfiguredAirbyteCatalog:
    """Return that all of both streams is wanted."""
    return ConfiguredAirbyteCatalog(
        streams=[
            ConfiguredAirbyteStream(
                stream=AirbyteStream(name=name, json_schema={}, supported_sync_modes=[SyncMode.full_refresh]),
                sync_mode=SyncMode.full_refresh,
                destination_sync_mode=DestinationSyncMode.append,
            )
            for name in ("users", "videos")
        ]
    )


def main() -> None:
    """Read everything and tell the records and the seconds, of the clock and of the processor."""
    task = json.load(sys.stdin)
    logging.disable()
    wanted = catalog()
    source = ConcurrentDeclarativeSource(catalog=wanted, config={}, state=[], source_config=manifest(task))
    cpu, began = time.process_time(), time.perf_counter()
    records = sum(message.type is Type.RECORD for message in source.read(logging.getLogger("peer"), {}, wanted, []))
    took = {"records": records, "seconds": time.perf_counter() - began, "cpu": time.process_time() - cpu}
    sys.stdout.write(json.dumps(took))


if __name__ == "__main__":
    main()
