"""Examples of what is answered, by the thing it is about."""

from services.gateway.openapi.examples import Json, Maybe, Perhaps

RUN_ID = "0b6d8b52-6f0f-4a0c-9d2b-0a7c5a1f3e11"
NIGHT = "2026-01-24T02:00:00.000Z"


def one(data: object) -> Json:
    """Return the envelope of a single thing."""
    return {"success": True, "data": data}


def many(entry: object) -> Json:
    """Return the envelope of things."""
    return {"success": True, "data": [entry], "count": 1}


STORE_ENTRY = {
    "storeCode": "store_jakarta_01",
    "storeName": "Store Jakarta Pusat",
    "picName": "John Doe",
    "picContact": Maybe("john@example.com"),
    "createdAt": "2026-01-01T00:00:00.000Z",
}
STORE = {
    **STORE_ENTRY,
    "connectionStatus": "CONNECTED",
    "accountId": Maybe(123),
    "accountIdentifier": Maybe("user_open_id_123"),
    "connectedAt": Maybe("2026-01-02T10:00:00.000Z"),
    "lastSyncTime": Maybe(NIGHT),
    "tokenExpiresAt": Maybe("2026-01-25T10:00:00.000Z"),
    "latestUserStats": Maybe({"followerCount": Maybe(5000), "likesCount": Maybe(10_000), "videoCount": Maybe(50)}),
    "latestVideoStats": Maybe({"totalVideos": 50, "totalViews": 100_000}),
}
CREATED_STORE = {
    **one(STORE_ENTRY),
    "message": "Store created successfully",
    "next_step": "Connect TikTok account at: GET /connect/tiktok?store_code=store_jakarta_01",
}
ACCOUNT = {
    "id": 1,
    "storeCode": "store_jakarta_01",
    "platform": "tiktok",
    "hasValidToken": True,
    "accountIdentifier": "user_open_id_123",
    "lastSyncAt": Maybe(NIGHT),
    "createdAt": "2026-01-02T10:00:00.000Z",
    "updatedAt": NIGHT,
}
USER_STATS = {
    "id": 1,
    "storeCode": "store_jakarta_01",
    "snapshotDate": "2026-01-24",
    "followerCount": Maybe(5000),
    "followingCount": Maybe(100),
    "likesCount": Maybe(10_000),
    "videoCount": Maybe(50),
    "displayName": Maybe("Store Jakarta"),
    "avatarUrl": Maybe("https://p16.example/avatar.jpg"),
    "createdAt": NIGHT,
}
VIDEO_STATS = {
    "id": 1,
    "storeCode": "store_jakarta_01",
    "snapshotDate": "2026-01-24",
    "videoId": "video_123",
    "viewCount": Maybe(1000),
    "likeCount": Maybe(50),
    "commentCount": Maybe(10),
    "shareCount": Maybe(5),
    "description": Maybe("Video description"),
    "createdAt": NIGHT,
}
SYNC_LOG = {
    "id": 1,
    "storeCode": Maybe("store_jakarta_01"),
    "jobName": "sync_user_daily",
    "status": "SUCCESS",
    "message": "User stats synced successfully: 5000 followers, 50 videos",
    "rawError": Maybe("timeout"),
    "durationMs": 2500,
    "runTime": NIGHT,
}
AUDIT_RECORD = {
    "callId": "6f1c2a9b-e0a9-4f0b-8d0c-5b1f2d3e4a5b",
    "beginTime": NIGHT,
    "endTime": Maybe(NIGHT),
    "actor": "operator/alice",
    "method": "/tokhub.token.v1.ConnectionService/Disconnect",
    "requestJson": "{}",
    "requestId": "5f1c2a9be0a94f0b8d0c5b1f2d3e4a5b",
    "outcome": Maybe("OK"),
}
AUDIT_VERIFICATION = {
    "whole": True,
    "broken": Maybe({"sequence": 42, "kind": "EDITED"}),
    "rows": 1200,
    "firstSequence": 1,
    "checkpoint": Maybe(f"1200:{'5f1c2a9b' * 8}"),
    "unchainedRows": 0,
}
COUNTS = {"total": 300, "processed": 120, "succeeded": 118, "failed": 1, "skipped": 1}
RUN = {
    "id": RUN_ID,
    "job": "all",
    "state": "RUNNING",
    **COUNTS,
    "videos": 6000,
    "startedAt": Maybe(NIGHT),
    "finishedAt": Maybe("2026-01-24T02:11:00.000Z"),
}
ONE_RESULT = {
    "success": Perhaps(True),
    "storeCode": Perhaps("store_jakarta_01"),
    "message": Perhaps("User stats synced successfully: 5000 followers, 50 videos"),
    "duration": Perhaps(2500),
    "recordsProcessed": Perhaps(1),
}
ALL_RESULT = {
    "refresh_tokens": Perhaps({"total": 300, "refreshed": 50, "failed": 0}),
    "user_sync": Perhaps({"total": 300, "successful": 298, "failed": 2, "skipped": 0}),
    "video_sync": Perhaps({"total": 300, "successful": 295, "failed": 3, "skipped": 2, "totalVideos": 15_000}),
}
CUT_SHORT = "CANCELLED: The run was cancelled: 120 of 300 stores had ended"
CREATOR_RESULT = {
    "success": True,
    "userId": "creator_1",
    "message": "User stats synced successfully: 5000 followers, 50 videos",
    "duration": 2500,
    "recordsProcessed": 51,
}
SCHEDULE = {
    "enabled": True,
    "timezone": "Asia/Jakarta",
    "jobs": [{"name": "sync-user-daily", "schedule": "0 2 * * *", "nextRun": Maybe(NIGHT), "running": False}],
}
HEALTH = {
    "status": "healthy",
    "timestamp": "2026-01-24T09:00:00.000Z",
    "uptime": 3600,
    "version": "1.0.0",
    "requestId": "abc123",
    "checks": {"database": "ok", "encryption": "ok", "token": "ok", "sync": "ok", "scheduler": "enabled"},
    "responseTime": 5,
}
INDEX = {
    "name": "TikTok Content Reporting Hub",
    "version": "1.0.0",
    "documentation": "/docs",
    "endpoints": {"health": "GET /health", "admin": {"stores": "GET /admin/stores"}},
}
CONSENT = {"authUrl": "https://www.tiktok.com/v2/auth/authorize/?client_key=…", "state": "generated-state-parameter"}
SHOP = {
    "shopId": Maybe("shop_123456"),
    "shopName": Maybe("My TikTok Shop"),
    "region": Maybe("US"),
    "isActive": True,
    "createdAt": "2024-01-01T00:00:00.000Z",
    "updatedAt": "2024-01-01T00:00:00.000Z",
}
SHOP_STATUS = {"isConnected": True, "shopId": Maybe("shop_123456"), "shopName": Maybe("My TikTok Shop")}
REFRESHES = {
    "success": True,
    "summary": {"total": 4, "successful": 3, "failed": 1},
    "results": [
        {
            "shopNumber": Maybe(1),
            "shopName": "DrSamhanWellness",
            "success": True,
            "skipped": Perhaps(True),
            "error": Perhaps("REAUTH_REQUIRED: the account must be connected again"),
        }
    ],
}
CONNECTION = {
    "id": "6f1c2a9b-e0a9-4f0b-8d0c-5b1f2d3e4a5b",
    "number": 123,
    "provider": "LOGIN_KIT",
    "owner": {"kind": "STORE", "id": "store_jakarta_01"},
    "teamId": 1,
    "accountId": "user_open_id_123",
    "status": "ACTIVE",
    "reason": "",
    "scopes": ["user.info.basic"],
    "epoch": 1,
    "generation": 12,
    "accessExpireTime": Maybe("2026-01-25T10:00:00.000Z"),
    "refreshExpireTime": Maybe("2027-01-02T10:00:00.000Z"),
    "connectTime": Maybe("2026-01-02T10:00:00.000Z"),
    "updateTime": Maybe(NIGHT),
    "hoursLeft": Maybe(32.0),
    "needsRefresh": False,
    "shops": [{"id": "7494", "number": 1, "name": "My TikTok Shop", "region": "GB", "sellerType": "LOCAL"}],
}
EXPLANATION = {
    "connection": CONNECTION,
    "decision": "HEALTHY",
    "nextAction": Maybe("REFRESH"),
    "nextActionTime": Maybe("2026-01-24T22:00:00.000Z"),
    "explanation": "The access token works; it is refreshed before it ends.",
    "timeline": [
        {
            "id": 7,
            "time": NIGHT,
            "kind": "REFRESHED",
            "epoch": 1,
            "generation": 12,
            "reason": "",
            "message": "New tokens were saved.",
            "replica": "token-1",
            "requestId": "5f1c2a9be0a94f0b8d0c5b1f2d3e4a5b",
            "actor": "background",
        }
    ],
}
FORECAST = {
    "time": NIGHT,
    "live": 300,
    "accessOverdue": 0,
    "accessEnds": [{"startTime": NIGHT, "count": 12}],
    "accessLater": 0,
    "refreshesNeededPerSecond": 0.1,
    "refreshesMeasuredPerSecond": 0.1,
    "consentOverdue": 0,
    "consentEnds": [{"startTime": NIGHT, "count": 3}],
    "consentLater": 290,
    "consentEndless": 0,
}
CREATOR = {
    "isConnected": True,
    "openId": Maybe("user_open_id_123"),
    "username": Maybe("jane"),
    "displayName": Maybe("Jane"),
    "avatarUrl": Maybe("https://p16.example/avatar.jpg"),
    "connectedAt": Maybe("2026-01-02T10:00:00.000Z"),
    "lastSyncAt": Maybe(NIGHT),
}
METRICS = {
    "followerCount": Maybe(5000),
    "followingCount": Maybe(100),
    "likeCount": Maybe(10_000),
    "videoCount": Maybe(50),
    "lastSyncAt": Maybe(NIGHT),
}
GROWTH = {
    "storeCode": "store_jakarta_01",
    "storeName": "Store Jakarta Pusat",
    "firstDate": Maybe("2026-01-01"),
    "lastDate": Maybe("2026-01-24"),
    "days": 24,
    "followerCount": Maybe(5000),
    "followersGained": Maybe(120),
    "likesCount": Maybe(10_000),
    "likesGained": Maybe(900),
    "videoCount": Maybe(50),
    "videosGained": Maybe(4),
}
TOP_VIDEO = {
    "storeCode": "store_jakarta_01",
    "videoId": "video_123",
    "description": Maybe("Video description"),
    "postedAt": Maybe(NIGHT),
    "firstDate": Maybe("2026-01-01"),
    "lastDate": Maybe("2026-01-24"),
    "viewCount": Maybe(1000),
    "viewsGained": Maybe(400),
    "likeCount": Maybe(50),
    "commentCount": Maybe(10),
    "shareCount": Maybe(5),
}
DAILY_TOTALS = {
    "snapshotDate": "2026-01-24",
    "stores": 300,
    "followerCount": Maybe(1_500_000),
    "followersGained": Maybe(3000),
    "likesCount": Maybe(3_000_000),
    "likesGained": Maybe(9000),
    "storesWithVideos": 298,
    "videos": 15_000,
    "viewCount": Maybe(30_000_000),
    "likeCount": Maybe(900_000),
    "commentCount": Maybe(40_000),
    "shareCount": Maybe(20_000),
}
COMPLETENESS = {
    "snapshotDate": "2026-01-24",
    "job": "user",
    "expected": 300,
    "done": 298,
    "missing": 2,
    "reasons": [{"reason": "REAUTH_REQUIRED", "stores": 2, "storeCodes": ["store_0001", "store_0002"]}],
}
KEY_RING = {
    "keys": [
        {
            "id": "k2",
            "active": True,
            "preferred": True,
            "firstSeenTime": NIGHT,
            "activateTime": Maybe(NIGHT),
            "rows": 300,
            "encryptions": 1200,
            "replicas": ["token-1"],
        }
    ],
    "liveReplicas": ["token-1"],
    "unrecognisedRows": 0,
}
ROTATION = {"keyId": "k2", "total": 300, "rewritten": 300, "unreadable": 0, "duration": 56_000}
