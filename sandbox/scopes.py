"""Which scope opens which field, and what can be asked for at all."""

USER_FIELDS = {
    "open_id": "user.info.basic",
    "union_id": "user.info.basic",
    "avatar_url": "user.info.basic",
    "avatar_url_100": "user.info.basic",
    "avatar_large_url": "user.info.basic",
    "display_name": "user.info.basic",
    "bio_description": "user.info.profile",
    "profile_deep_link": "user.info.profile",
    "is_verified": "user.info.profile",
    "username": "user.info.profile",
    "follower_count": "user.info.stats",
    "following_count": "user.info.stats",
    "likes_count": "user.info.stats",
    "video_count": "user.info.stats",
}
VIDEO_FIELDS = dict.fromkeys(
    (
        "id",
        "create_time",
        "cover_image_url",
        "share_url",
        "video_description",
        "duration",
        "height",
        "width",
        "title",
        "embed_html",
        "embed_link",
        "like_count",
        "comment_count",
        "share_count",
        "view_count",
    ),
    "video.list",
)
DESCRIPTIONS = {
    "user.info.basic": "Read your profile info: avatar and display name",
    "user.info.profile": "Read additional profile info: bio, profile link, username, verification",
    "user.info.stats": "Read your engagement statistics: likes, followers, following, videos",
    "video.list": "Read your public videos on TikTok",
    "video.upload": "Share content to your account as a draft to edit and post in TikTok",
    "video.publish": "Directly post content to your TikTok profile",
}


def split_list(text: str) -> tuple[str, ...]:
    """Return the parts of a comma-separated list, in order and without repeats; spaces do not separate."""
    return tuple(dict.fromkeys(part for part in text.split(",") if part))
