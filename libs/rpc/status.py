"""The one table between typed errors and gRPC statuses, in both directions."""

import inspect

import grpc
from google.protobuf import duration_pb2
from google.rpc import code_pb2, error_details_pb2, status_pb2

from libs import errors
from libs.errors import InvalidField, Reason, TokhubError, TryLater

DOMAIN = "tokhub"
STATUS_KEY = "grpc-status-details-bin"  # the trailer that gRPC itself reserves for google.rpc.Status
NO_METHOD = (
    "The service that was asked has no such method: run all services of the suite from one release, "
    "and check TOKEN_TARGET and SYNC_TARGET."
)
OPAQUE = "Something went wrong inside: see the log by the request id."

CODES: dict[Reason, int] = {
    Reason.STORE_NOT_FOUND: code_pb2.NOT_FOUND,
    Reason.STORE_EXISTS: code_pb2.ALREADY_EXISTS,
    Reason.CONNECTION_NOT_FOUND: code_pb2.NOT_FOUND,
    Reason.ACCOUNT_ALREADY_CONNECTED: code_pb2.ALREADY_EXISTS,
    Reason.REAUTH_REQUIRED: code_pb2.FAILED_PRECONDITION,
    Reason.REFRESH_IN_PROGRESS: code_pb2.UNAVAILABLE,
    Reason.SCOPE_MISSING: code_pb2.FAILED_PRECONDITION,
    Reason.STATE_INVALID: code_pb2.INVALID_ARGUMENT,
    Reason.STATE_EXPIRED: code_pb2.INVALID_ARGUMENT,
    Reason.STATE_REUSED: code_pb2.INVALID_ARGUMENT,
    Reason.KEY_NOT_READY: code_pb2.FAILED_PRECONDITION,
    Reason.SHOP_CHOICE_REQUIRED: code_pb2.FAILED_PRECONDITION,
    Reason.AUTHORIZATION_DENIED: code_pb2.FAILED_PRECONDITION,
    Reason.UPSTREAM_UNAVAILABLE: code_pb2.UNAVAILABLE,
    Reason.UPSTREAM_RATE_LIMITED: code_pb2.RESOURCE_EXHAUSTED,
    Reason.UPSTREAM_BAD_RESPONSE: code_pb2.UNKNOWN,
    Reason.UPSTREAM_RESPONSE_TOO_LARGE: code_pb2.UNKNOWN,
    Reason.UPSTREAM_CURSOR_LOOP: code_pb2.UNKNOWN,
    Reason.STORAGE_UNAVAILABLE: code_pb2.UNAVAILABLE,
    Reason.LOST_RESPONSE: code_pb2.FAILED_PRECONDITION,
    Reason.RUN_ALREADY_ACTIVE: code_pb2.ALREADY_EXISTS,
    Reason.RUN_NOT_FOUND: code_pb2.NOT_FOUND,
    Reason.INVALID_FIELD: code_pb2.INVALID_ARGUMENT,
    Reason.UNAUTHENTICATED: code_pb2.UNAUTHENTICATED,
    Reason.NOT_ALLOWED: code_pb2.PERMISSION_DENIED,
    Reason.RATE_LIMITED: code_pb2.RESOURCE_EXHAUSTED,
    Reason.LOCKED_OUT: code_pb2.RESOURCE_EXHAUSTED,
    Reason.DEADLINE_EXCEEDED: code_pb2.DEADLINE_EXCEEDED,
    Reason.SERVER_MISCONFIG: code_pb2.INTERNAL,
    Reason.INTERNAL: code_pb2.INTERNAL,
}

CLASSES: dict[str, type[TokhubError]] = {
    kind.reason.value: kind
    for _, kind in inspect.getmembers(errors, inspect.isclass)
    if issubclass(kind, TokhubError) and "reason" in vars(kind) and kind is not TokhubError
}


def to_status(error: TokhubError) -> status_pb2.Status:
    """Return the wire form of an error."""
    status = status_pb2.Status(code=CODES[error.reason], message=error.message)
    info = error_details_pb2.ErrorInfo(reason=error.reason.value, domain=DOMAIN, metadata=error.metadata)
    status.details.add().Pack(info)
    if isinstance(error, TryLater):
        delay = duration_pb2.Duration()
        delay.FromMilliseconds(round(error.retry_after * 1000))
        status.details.add().Pack(error_details_pb2.RetryInfo(retry_delay=delay))
    if isinstance(error, InvalidField):
        violation = error_details_pb2.BadRequest.FieldViolation(field=error.field, description=error.description)
        status.details.add().Pack(error_details_pb2.BadRequest(field_violations=[violation]))
    return status


def status_of(failure: grpc.aio.AioRpcError) -> status_pb2.Status:
    """Return the status that came in the trailers of a failed call; empty when there was none."""
    for key, value in failure.trailing_metadata() or ():
        if key == STATUS_KEY and isinstance(value, bytes):
            return status_pb2.Status.FromString(value)
    return status_pb2.Status()


def from_rpc_error(failure: grpc.aio.AioRpcError) -> TokhubError:
    """Return the error that the server raised, or the nearest one for a failure that the server did not word."""
    return worded(status_of(failure), failure.details() or "") or unworded(failure)


def from_status(status: status_pb2.Status) -> TokhubError:
    """Return the error that an item of an answer holds."""
    return worded(status, status.message) or errors.Internal()


def worded(status: status_pb2.Status, message: str) -> TokhubError | None:
    """Return the error that a status describes, None when it is none of ours."""
    info = error_details_pb2.ErrorInfo()
    retry = error_details_pb2.RetryInfo()
    for detail in status.details:
        detail.Unpack(info)
        detail.Unpack(retry)
    return rebuild(info, message, retry) if info.domain == DOMAIN and info.reason in CLASSES else None


def rebuild(info: error_details_pb2.ErrorInfo, message: str, retry: error_details_pb2.RetryInfo) -> TokhubError:
    """Return the error an ErrorInfo describes."""
    kind = CLASSES[info.reason]
    metadata = dict(info.metadata)
    if issubclass(kind, InvalidField):
        field = metadata.get("field", "request")
        return kind(field, message.removeprefix(f"{field} "))
    if issubclass(kind, TryLater):
        return kind(message, retry_after=retry.retry_delay.ToMilliseconds() / 1000, metadata=metadata)
    return kind(message, metadata=metadata)


def unworded(failure: grpc.aio.AioRpcError) -> TokhubError:
    """Return the error for a failure that carries no ErrorInfo: gRPC itself failed, or the peer is not ours."""
    if failure.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
        return errors.DeadlineExceeded()
    if failure.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED):
        return errors.UpstreamUnavailable("A service of the suite cannot be reached now: try again in a moment.")
    if failure.code() is grpc.StatusCode.UNIMPLEMENTED:
        return errors.ServerMisconfig(NO_METHOD)
    if failure.code() is grpc.StatusCode.PERMISSION_DENIED:
        return errors.NotAllowed()
    return errors.Internal()
