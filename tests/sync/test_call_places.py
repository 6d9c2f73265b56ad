"""Places bound the calls under way, however many stores are at hand."""

from tests.sync.living_suite import JOB_USER, LivingSuite
from tests.sync.scripted_tiktok import scripted_tiktok


async def test_no_more_calls_are_under_way_than_there_are_places(suite: LivingSuite) -> None:
    await suite.connect_many(7)
    async with scripted_tiktok() as tiktok:
        tiktok.user_seconds = 0.2
        async with suite.replica(TIKTOK_API_BASE_URL=tiktok.url, SYNC_CONCURRENCY="2") as replica:
            end = await replica.run(JOB_USER)
    assert end.succeeded == 7
    assert tiktok.users_at_once == 2
