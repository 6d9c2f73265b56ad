"""Who may call which method of the sync service."""

from libs.rpc.audit import AUDIT_SERVICE
from libs.rpc.identity import OPERATOR
from libs.rpc.policy import OPERATORS, Policy, Table

ADMINS = frozenset({"svc/gateway", OPERATOR})

TABLE: Table = {
    "tokhub.sync.v1.StoreService": {
        "CreateStore": ADMINS,
        "GetStore": ADMINS,
        "ListStores": ADMINS,
        "CountStores": ADMINS,
        "UpdateStore": ADMINS,
        "DeleteStore": ADMINS,
    },
    "tokhub.sync.v1.StatsService": {
        "ListUserStats": ADMINS,
        "ListVideoStats": ADMINS,
        "GetAccountMetrics": ADMINS,
        "ExportStats": ADMINS,
    },
    "tokhub.sync.v1.ReportService": {
        "ListGrowth": ADMINS,
        "ListTopVideos": ADMINS,
        "ListDailyTotals": ADMINS,
        "ListCompleteness": ADMINS,
    },
    "tokhub.sync.v1.SyncService": {
        "StartSync": ADMINS,
        "WatchSync": ADMINS,
        "GetRun": ADMINS,
        "ListRuns": ADMINS,
        "CancelRun": ADMINS,
        "GetSchedule": ADMINS,
        "GetBudget": ADMINS,
        "ListSyncLogs": ADMINS,
        "RunScheduledJob": ADMINS,
        # One call for a person at a terminal; the gateway starts and watches.
        "RunSync": OPERATORS,
    },
    AUDIT_SERVICE: {"ListAuditRecords": ADMINS, "VerifyAudit": ADMINS, "ReportDenial": ADMINS},
}

# What is written down.
RECORDED: Table = {
    # It does nothing else than to be recorded.
    AUDIT_SERVICE: {"ReportDenial": ADMINS},
    "tokhub.sync.v1.StoreService": {"CreateStore": ADMINS, "UpdateStore": ADMINS, "DeleteStore": ADMINS},
    "tokhub.sync.v1.StatsService": {"ExportStats": ADMINS},
    "tokhub.sync.v1.SyncService": {
        "StartSync": ADMINS,
        "RunSync": ADMINS,
        "CancelRun": ADMINS,
        "RunScheduledJob": ADMINS,
    },
}

POLICY = Policy(TABLE, RECORDED)
