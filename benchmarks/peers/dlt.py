"""Reads all stores as a pipeline of dlt does and loads them into DuckDB, and tells what that took.

Runs in a place of its own. What to read comes as JSON on standard input, what it took goes to standard output.
"""

import json
import sys
import time
from collections.abc import Mapping
from tempfile import TemporaryDirectory
from typing import Any

import dlt
from dlt.sources.helpers import requests

Json = Mapping[str, Any]

LOADED = "SELECT (SELECT count(*) FROM users) + (SELECT count(*) FROM videos)"


def resources(task: Json) -> list[Any]:
    """Return accounts and one page of videos for each token, many asked for at once."""

    def users(token: str) -> Json:
        fields = {"fields": task["user_fields"]}
        answer = requests.get(f"{task['origin']}/v2/user/info/", params=fields, headers=headers(token))
        found: Json = answer.json()["data"]["user"]
        return found

    def videos(token: str) -> Json:
        page, fields = {"max_count": task["page_size"]}, {"fields": task["video_fields"]}
        answer = requests.post(f"{task['origin']}/v2/video/list/", params=fields, json=page, headers=headers(token))
        found: Json = answer.json()["data"]["videos"]
        return found

    tokens = dlt.resource(task["tokens"], name="tokens", selected=False)
    return [dlt.transformer(each, data_from=tokens, parallelized=True) for each in (users, videos)]


def headers(token: str) -> Mapping[str, str]:
    """Return the headers of a call."""
    return {"Authorization": f"Bearer {token}"}


def load(task: Json, directory: str) -> int:
    """Run the pipeline; return how many records it has loaded."""
    dlt.config["extract.workers"] = dlt.config["extract.max_parallel_items"] = task["workers"]
    dlt.config["runtime.dlthub_telemetry"] = False
    dlt.config["runtime.log_level"] = "ERROR"
    destination = dlt.destinations.duckdb(f"{directory}/peer.duckdb")
    pipeline = dlt.pipeline("peer", pipelines_dir=directory, destination=destination, dataset_name="stores")
    pipeline.run(resources(task)).raise_on_failed_jobs()
    with pipeline.sql_client() as client:
        return int(client.execute_sql(LOADED)[0][0])


def main() -> None:
    """Load everything and tell the records and the seconds, of the clock and of the processor."""
    task = json.load(sys.stdin)
    with TemporaryDirectory(prefix="tokhub-dlt-") as directory:
        cpu, began = time.process_time(), time.perf_counter()
        records = load(task, directory)
        took = {"records": records, "seconds": time.perf_counter() - began, "cpu": time.process_time() - cpu}
    sys.stdout.write(json.dumps(took))


if __name__ == "__main__":
    main()
