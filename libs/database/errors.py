"""Turns what a database answers when it cannot be used into StorageUnavailable; other errors pass unchanged."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager

import asyncpg

from libs.errors import StorageUnavailable

# PostgreSQL's SQLSTATE classes: connection, authorization, missing database, rollback for concurrency, resources,
# operator intervention (a timeout, a shutdown), a trigger that somebody put there (PL/pgSQL), and internal errors;
# https://www.postgresql.org/docs/current/errcodes-appendix.html
_CLASSES = ("08", "28", "3D", "40", "53", "57", "58", "P0", "XX")
# A server that became read-only by failover, and a lock that was not given in time.
_STATES = ("25006", "55P03")

_OBSTACLES: tuple[tuple[type[BaseException], str], ...] = (
    (ConnectionRefusedError, "nothing listens there"),
    (socket.gaierror, "there is no such host"),
    (TimeoutError, "it does not answer"),
    (asyncpg.InvalidAuthorizationSpecificationError, "it refuses the user or the password"),
    (asyncpg.InvalidCatalogNameError, "it has no database of that name"),
    (asyncpg.TooManyConnectionsError, "it has no session left: raise its max_connections, or end some"),
    (asyncpg.CannotConnectNowError, "it is starting or stopping"),
    (asyncpg.ReadOnlySQLTransactionError, "it takes no writes"),
    (asyncpg.DiskFullError, "its disk is full"),
)


@contextmanager
def storage_errors() -> Iterator[None]:
    """Raise StorageUnavailable when the body meets an unusable database; the cause stays attached for the log."""
    try:
        yield
    except Exception as error:
        if _is_unavailable(error):
            raise StorageUnavailable from error
        raise


def was_cut(error: StorageUnavailable) -> bool:
    """Return whether a connection ended in the middle of a statement: what that did is not known."""
    return isinstance(error.__cause__, ConnectionError | asyncpg.PostgresConnectionError)


def sqlstate_of(error: BaseException) -> str:
    """Return the SQLSTATE of an error or of what caused it; empty without any."""
    found = getattr(error, "sqlstate", None) or getattr(error.__cause__, "sqlstate", None)
    return found if isinstance(found, str) else ""


def _is_unavailable(error: Exception) -> bool:
    if isinstance(error, OSError | TimeoutError):
        return True
    origin = _origin(error)
    if isinstance(origin, asyncpg.InternalClientError):
        # The driver lost track of a connection that broke under it.
        return True
    if isinstance(origin, asyncpg.InterfaceError):
        return _says_closed(origin)
    state = getattr(origin, "sqlstate", None)
    return isinstance(state, str) and (state[:2] in _CLASSES or state in _STATES)


def _origin(error: BaseException | None) -> BaseException | None:
    # SQLAlchemy raises an error of its own about a translation of the driver's error.
    translation = getattr(error, "orig", None)
    return error if translation is None else translation.__cause__


def _says_closed(error: asyncpg.InterfaceError) -> bool:
    # The driver has one type for a lost connection and for misuse; only its words tell them apart.
    return "closed" in str(error) or "closing" in str(error)


def obstacle(cause: BaseException | None) -> str:
    """Return why a database cannot be used, in words that hold nothing of its address."""
    origin = _origin(cause)
    for kind, words in _OBSTACLES:
        if isinstance(origin, kind):
            return words
    return f"it cannot be reached ({type(origin).__name__})"


def is_lasting(cause: BaseException | None) -> bool:
    """Return whether waiting changes nothing: no password becomes right by it."""
    return isinstance(_origin(cause), asyncpg.InvalidAuthorizationSpecificationError | asyncpg.InvalidCatalogNameError)
