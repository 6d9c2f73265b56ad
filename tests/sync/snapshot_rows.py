"""Snapshots written by hand, for days on which no run was."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any

from tokhub.sync.v1 import report_pb2

from tests.sync.living_suite import LivingSuite

TODAY = datetime.now(UTC).date()


def days_ago(days: int) -> date:
    return TODAY - timedelta(days=days)


def period(first: int, last: int = 0) -> report_pb2.Period:
    """Return the period between two days, given as days ago."""
    return report_pb2.Period(from_date=days_ago(first).isoformat(), to_date=days_ago(last).isoformat())


async def insert(suite: LivingSuite, table: str, values: Mapping[str, Any]) -> None:
    places = ", ".join(f"${number}" for number in range(1, len(values) + 1))
    await suite.pool.execute(f"INSERT INTO reporting.{table} ({', '.join(values)}) VALUES ({places})", *values.values())


async def account(suite: LivingSuite, code: str, days: int, followers: int | None, **more: Any) -> None:
    """Store an account's snapshot of some days ago."""
    values = {
        "subject_kind": "store",
        "subject_id": code,
        "snapshot_date": days_ago(days),
        "fetched_at": datetime.now(UTC),
        "follower_count": followers,
    }
    await insert(suite, "tiktok_user_daily", values | more)


async def video(suite: LivingSuite, code: str, days: int, name: str, views: int | None, **more: Any) -> None:
    """Store a video's snapshot of some days ago."""
    values = {
        "subject_kind": "store",
        "subject_id": code,
        "snapshot_date": days_ago(days),
        "fetched_at": datetime.now(UTC),
        "video_id": name,
        "view_count": views,
    }
    await insert(suite, "tiktok_video_daily", values | more)
