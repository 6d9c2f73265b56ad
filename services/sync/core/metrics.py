"""A creator's account is shown as it was last read."""

from typing import Protocol

from services.sync.domain.connections import Connection
from services.sync.domain.snapshots import AccountMetrics
from services.sync.domain.subjects import Subject, SubjectKind

NOT_READ_YET = AccountMetrics()


class Connections(Protocol):
    """Knows which subjects are connected."""

    async def of(self, subject: Subject) -> Connection:
        """Return one subject's connection; ConnectionNotFound when there never was one."""
        ...


class NewestSnapshots(Protocol):
    """Where accounts are read from."""

    async def newest(self, subject: Subject, account_id: str) -> AccountMetrics | None:
        """Return a subject's newest snapshot of this account, or of one that was not noted."""
        ...


class CreatorMetrics:
    """Shows the accounts of users; figures of an account that was connected before are nobody's."""

    def __init__(self, *, connections: Connections, snapshots: NewestSnapshots) -> None:
        self._connections = connections
        self._snapshots = snapshots

    async def of(self, user_id: str) -> AccountMetrics:
        """Return a user's account, all unknown before its first sync; ConnectionNotFound."""
        user = Subject(SubjectKind.USER, user_id)
        connection = await self._connections.of(user)
        return await self._snapshots.newest(user, connection.account_id) or NOT_READ_YET
