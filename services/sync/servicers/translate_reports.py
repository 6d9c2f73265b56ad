"""From the domain's reports to the messages of report.proto."""

from datetime import date

from tokhub.sync.v1 import report_pb2

from libs.rpc.times import timestamp
from services.sync.domain.reports import Completeness, DailyTotals, StoreGrowth, TopVideo


def day_text(day: date | None) -> str:
    """Return a day as YYYY-MM-DD, empty when there is none."""
    return day.isoformat() if day else ""


def growth_message(row: StoreGrowth) -> report_pb2.StoreGrowth:
    """Return a store's growth."""
    return report_pb2.StoreGrowth(
        store_code=row.store_code,
        store_name=row.store_name,
        first_date=day_text(row.first_date),
        last_date=day_text(row.last_date),
        days=row.days,
        follower_count=row.follower_count,
        followers_gained=row.followers_gained,
        likes_count=row.likes_count,
        likes_gained=row.likes_gained,
        video_count=row.video_count,
        videos_gained=row.videos_gained,
    )


def top_video_message(row: TopVideo) -> report_pb2.TopVideo:
    """Return a video over the period."""
    return report_pb2.TopVideo(
        store_code=row.store_code,
        video_id=row.video_id,
        description=row.description,
        post_time=timestamp(row.posted_at),
        first_date=day_text(row.first_date),
        last_date=day_text(row.last_date),
        view_count=row.view_count,
        views_gained=row.views_gained,
        like_count=row.like_count,
        comment_count=row.comment_count,
        share_count=row.share_count,
    )


def totals_message(row: DailyTotals) -> report_pb2.DailyTotals:
    """Return one day's sums."""
    return report_pb2.DailyTotals(
        snapshot_date=day_text(row.snapshot_date),
        stores=row.stores,
        follower_count=row.follower_count,
        followers_gained=row.followers_gained,
        likes_count=row.likes_count,
        likes_gained=row.likes_gained,
        stores_with_videos=row.stores_with_videos,
        videos=row.videos,
        view_count=row.view_count,
        like_count=row.like_count,
        comment_count=row.comment_count,
        share_count=row.share_count,
    )


def completeness_message(row: Completeness) -> report_pb2.Completeness:
    """Return one job on one day."""
    return report_pb2.Completeness(
        snapshot_date=day_text(row.snapshot_date),
        job=row.job,
        expected=row.expected,
        done=row.done,
        missing=[
            report_pb2.Missing(reason=one.reason, stores=one.stores, store_codes=one.store_codes) for one in row.missing
        ],
    )
