"""Whose account is synced: a store's or a creator's."""

from dataclasses import dataclass
from enum import StrEnum


class SubjectKind(StrEnum):
    """Kinds of subjects, as they are stored."""

    STORE = "store"
    USER = "user"


@dataclass(frozen=True, order=True)
class Subject:
    """A store by its code, or a user of the host application by id."""

    kind: SubjectKind
    id: str

    @classmethod
    def store(cls, code: str) -> "Subject":
        """Return the store with this code."""
        return cls(SubjectKind.STORE, code)

    @classmethod
    def user(cls, user_id: str) -> "Subject":
        """Return the user with this id."""
        return cls(SubjectKind.USER, user_id)

    @property
    def store_code(self) -> str:
        """The store's code, empty for a user."""
        return self.id if self.kind is SubjectKind.STORE else ""

    @property
    def user_id(self) -> str:
        """The user's id, empty for a store."""
        return self.id if self.kind is SubjectKind.USER else ""
