"""The messages of BatchGetValidTokens, and those it shares with GetValidToken."""

from dataclasses import replace
from uuid import UUID
from weakref import ref

from tokhub.token.v1 import token_pb2

from libs.errors import InvalidField, TokhubError
from libs.rpc.status import to_status
from libs.rpc.times import timestamp
from libs.rpc.unpack import validate
from services.token.core.batch import Answer, Want
from services.token.core.cache import MOST
from services.token.core.tokens import ValidToken
from services.token.domain.connection import Connection, Need
from services.token.servicers.translate import PROVIDER_VALUES, reference_of, shop_message

DEFAULT_NEED = Need(min_ttl=60)


def need_of(request: token_pb2.GetValidTokenRequest) -> Need:
    """Return what a token has to be: of another generation than TikTok has refused, if the caller names one."""
    spent = request.rejected_generation if request.HasField("rejected_generation") else None
    if request.HasField("min_ttl"):
        return Need(min_ttl=request.min_ttl.ToTimedelta().total_seconds(), spent_generation=spent)
    return DEFAULT_NEED if spent is None else replace(DEFAULT_NEED, spent_generation=spent)


def want_of(request: token_pb2.GetValidTokenRequest) -> Want | InvalidField:
    """Return an item of a batch, or what is wrong with it."""
    try:
        validate(request)
    except InvalidField as error:
        return error
    return Want(reference=reference_of(request.connection), need=need_of(request))


def token_message(valid: ValidToken, draft: token_pb2.GetValidTokenResponse) -> token_pb2.GetValidTokenResponse:
    """Return a token's message, given what it says of the connection."""
    message = token_pb2.GetValidTokenResponse()
    message.CopyFrom(draft)
    message.access_token = valid.access_token.reveal()
    message.freshness = token_pb2.FRESHNESS_FRESH if valid.fresh else token_pb2.FRESHNESS_STALE_BUT_VALID
    return message


class Drafts:
    """What token messages say of connections, written once for a connection that is handed out again and again.

    A connection as it was read is held by whoever read it: here it would stay after its next rotation.
    """

    def __init__(self) -> None:
        self._written: dict[UUID, tuple[ref[Connection], token_pb2.GetValidTokenResponse]] = {}

    def of(self, connection: Connection) -> token_pb2.GetValidTokenResponse:
        """Return the draft for a connection as it was read."""
        known = self._written.get(connection.id)
        if known and known[0]() is connection:
            return known[1]
        if len(self._written) >= MOST:
            self._written.clear()
        written = draft(connection)
        self._written[connection.id] = (ref(connection), written)
        return written


def draft(connection: Connection) -> token_pb2.GetValidTokenResponse:
    """Return what a token's message says of its connection."""
    return token_pb2.GetValidTokenResponse(
        token_type="Bearer",
        expire_time=timestamp(connection.access_expires_at),
        generation=connection.version.generation,
        provider=PROVIDER_VALUES[connection.provider],
        account_id=connection.account_id,
        scopes=connection.scopes,
        connection_id=str(connection.id),
        shops=[shop_message(shop) for shop in connection.shops],
    )


def item_message(answer: Answer) -> token_pb2.TokenResult:
    """Return an item's message."""
    if isinstance(answer, TokhubError):
        return token_pb2.TokenResult(status=to_status(answer))
    return token_pb2.TokenResult(token=token_message(answer, draft(answer.connection)))
