"""Who may call which method of the token service."""

from collections.abc import Iterable

from libs.rpc.audit import AUDIT_SERVICE
from libs.rpc.identity import OPERATOR
from libs.rpc.policy import FOR_A_KEY, OPERATORS, Policy, Table

GATEWAY, SYNC = "svc/gateway", "svc/sync"
# Stands for every service that TOKEN_READERS names.
READER = "reader"

READERS = frozenset({SYNC, READER, OPERATOR})
# The gateway faces the internet: whoever takes it over still gets no token.
ADMINS = frozenset({GATEWAY, OPERATOR})
EITHER = frozenset({GATEWAY, SYNC, OPERATOR})

TABLE: Table = {
    "tokhub.token.v1.TokenService": {
        "GetValidToken": READERS,
        "BatchGetValidTokens": READERS,
        "WatchTokens": READERS,
        "RefreshToken": EITHER,
        "RefreshAll": EITHER,
    },
    "tokhub.token.v1.ConnectionService": {
        "StartAuthorization": ADMINS,
        "CompleteAuthorization": ADMINS,
        "HandleProviderEvent": ADMINS,
        "ExplainConnection": ADMINS,
        "GetRefreshForecast": ADMINS,
        "GetConnection": EITHER,
        "ListConnections": EITHER,
        "Disconnect": EITHER,
        "ImportConnections": OPERATORS,
    },
    "tokhub.token.v1.VaultService": {
        # Neither gives a key or a token: a ring without bytes, and rows sealed with the key that is active anyway.
        "GetKeyRing": ADMINS,
        "RotateKeys": ADMINS,
        "VerifyVault": OPERATORS,
    },
    AUDIT_SERVICE: {"ListAuditRecords": ADMINS, "VerifyAudit": ADMINS, "ReportDenial": ADMINS},
}

# What is written down, by whose calls. Services that read tokens are counted; what they change, the timeline tells.
RECORDED: Table = {
    # It does nothing else than to be recorded.
    AUDIT_SERVICE: {"ReportDenial": ADMINS},
    "tokhub.token.v1.TokenService": {
        "GetValidToken": OPERATORS,
        "BatchGetValidTokens": OPERATORS,
        "RefreshToken": ADMINS,
        "RefreshAll": ADMINS,
    },
    "tokhub.token.v1.ConnectionService": {
        # Through the gateway these three come from the public too, and from TikTok.
        "StartAuthorization": OPERATORS | {FOR_A_KEY},
        "CompleteAuthorization": OPERATORS,
        "HandleProviderEvent": OPERATORS,
        "Disconnect": ADMINS,
        "ImportConnections": OPERATORS,
    },
    "tokhub.token.v1.VaultService": {
        "RotateKeys": ADMINS,
        "VerifyVault": OPERATORS,
    },
}


def policy(readers: Iterable[str]) -> Policy:
    """Return the policy in which services of these names may read tokens too."""
    named = frozenset(f"svc/{name}" for name in readers)
    table = {
        service: {method: roles | named if READER in roles else roles for method, roles in methods.items()}
        for service, methods in TABLE.items()
    }
    return Policy(table, RECORDED)
