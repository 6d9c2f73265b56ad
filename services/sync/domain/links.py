"""What the log says about a skipped subject: why, and the address at which its owner helps."""

from dataclasses import dataclass

from services.sync.domain.subjects import Subject, SubjectKind


@dataclass(frozen=True)
class ConnectLinks:
    """Links to the gateway's consent page, under the address that people reach the gateway by."""

    origin: str

    def needs_reconnect(self, subject: Subject) -> str:
        """Say that TikTok no longer accepts the connection."""
        return f"Skipped: the TikTok account must be connected again{self._where(subject)}"

    def not_connected(self, subject: Subject) -> str:
        """Say that there is no connection."""
        return f"Skipped: no TikTok account is connected{self._where(subject)}"

    def _where(self, subject: Subject) -> str:
        # A user connects inside the host application, which has a page of its own for that.
        if subject.kind is SubjectKind.USER:
            return ""
        return f" at {self.origin}/connect/tiktok?store_code={subject.id}"
