"""What a command says when it could not do what was asked: what happened, what to do next, and an exit status."""

from collections.abc import Mapping
from enum import IntEnum
from types import MappingProxyType

from rich.console import Console

from libs.errors import (
    InvalidField,
    Reason,
    ServerMisconfig,
    TokhubError,
    TryLater,
)
from libs.settings import EX_CONFIG, EX_TEMPFAIL


class Status(IntEnum):
    """Exit statuses, as docs/cli.md lists them."""

    DONE = 0
    SOME_FAILED = 1
    WRONG_USAGE = 2
    REFUSED = 3
    TRY_LATER = EX_TEMPFAIL
    MISCONFIGURED = EX_CONFIG
    INTERRUPTED = 130


CONNECT = "`tokhub stores connect-link STORE` makes a link for the owner of the account."
NEXT: Mapping[Reason, str] = MappingProxyType(
    {
        Reason.STORE_NOT_FOUND: "`tokhub stores list` shows the codes there are.",
        Reason.STORE_EXISTS: "`tokhub stores list` shows it.",
        Reason.CONNECTION_NOT_FOUND: f"`tokhub connections list` shows what is connected. {CONNECT}",
        Reason.REAUTH_REQUIRED: CONNECT,
        Reason.SCOPE_MISSING: CONNECT,
        Reason.LOST_RESPONSE: CONNECT,
        Reason.RUN_NOT_FOUND: "`tokhub sync status` lists the runs.",
        Reason.RUN_ALREADY_ACTIVE: "`tokhub sync watch {run_id}` follows it, `tokhub sync cancel {run_id}` ends it.",
        Reason.NOT_ALLOWED: "Set TLS_CERT and TLS_KEY to the certificate of an operator (docs/identity.md).",
        Reason.KEY_NOT_READY: "`tokhub vault status` shows which replicas know which key.",
        Reason.UPSTREAM_UNAVAILABLE: "Is a suite running (`make run`)? `tokhub doctor` says what is away.",
        Reason.STORAGE_UNAVAILABLE: "`tokhub doctor` says what is away.",
        Reason.SERVER_MISCONFIG: "`tokhub doctor` looks at the settings.",
        Reason.INTERNAL: "Look for the request in the logs of the services.",
    }
)


def status_of(error: TokhubError) -> Status:
    """Return the exit status for an error."""
    if isinstance(error, InvalidField):
        return Status.WRONG_USAGE
    if isinstance(error, ServerMisconfig):
        return Status.MISCONFIGURED
    return Status.TRY_LATER if isinstance(error, TryLater) else Status.REFUSED


def next_step(error: TokhubError) -> str:
    """Return what to do about an error; empty when its message says all there is."""
    return NEXT.get(error.reason, "").replace("{run_id}", error.metadata.get("run_id", "ID"))


def retry_hint(error: TokhubError) -> str:
    """Return when to try again; empty when that does not help."""
    if not isinstance(error, TryLater) or error.retry_after <= 0:
        return ""
    return f"Trying again helps from {error.retry_after:g} s on."


def tell(error: TokhubError, request_id: str) -> Status:
    """Write what happened to stderr; return the exit status."""
    write_error(error.message, *filter(None, (next_step(error), retry_hint(error))))
    error_console().print(f"  reason {error.reason.value}, request {request_id}", style="dim", markup=False)
    return status_of(error)


def write_error(what: str, *details: str) -> None:
    """Write to stderr what happened, and below it what there is to know or to do."""
    console = error_console()
    console.print(f"tokhub: {what}", style="red", markup=False)
    for line in details:
        console.print(f"  {line}", markup=False)


def error_console() -> Console:
    """Return where people read of errors."""
    return Console(stderr=True, highlight=False, soft_wrap=True)
