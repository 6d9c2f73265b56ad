from datetime import UTC, datetime

import pytest
from tokhub.sync.v1 import account_pb2

from libs.errors import ConnectionNotFound
from tests.sync.living_suite import LivingSuite, Replica
from tests.sync.snapshot_rows import account

THEN = datetime(2026, 1, 24, 2, 0, 0, tzinfo=UTC)


async def metrics(replica: Replica, user: str) -> account_pb2.AccountMetrics:
    return (await replica.stats.GetAccountMetrics(account_pb2.GetAccountMetricsRequest(user_id=user))).metrics


async def test_a_creator_is_shown_as_last_read(suite: LivingSuite, replica: Replica) -> None:
    name = await suite.connect_user("u1")
    figures = {"subject_kind": "user", "account_id": name, "fetched_at": THEN}
    await account(suite, "u1", 2, 10, **figures)
    await account(suite, "u1", 1, 12, **figures, username="jane", likes_count=5, following_count=0, video_count=3)
    await account(suite, "u1", 0, 99)

    shown = await metrics(replica, "u1")

    assert (shown.username, shown.follower_count, shown.likes_count, shown.video_count) == ("jane", 12, 5, 3)
    assert (shown.HasField("following_count"), shown.HasField("display_name")) == (True, False)
    assert shown.last_sync_time.ToDatetime(UTC) == THEN


async def test_figures_of_an_account_before_are_not_shown(suite: LivingSuite, replica: Replica) -> None:
    await suite.connect_user("u1")
    await account(suite, "u1", 1, 12, subject_kind="user", account_id="another")

    assert await metrics(replica, "u1") == account_pb2.AccountMetrics()


async def test_a_user_without_an_account_is_told(replica: Replica) -> None:
    with pytest.raises(ConnectionNotFound):
        await metrics(replica, "nobody")
