"""What is wrong with a request is said by name, with what would be right."""

import pytest
from google.protobuf.message import Message
from tokhub.sync.v1 import sync_pb2
from tokhub.token.v1 import token_pb2

from libs.errors import InvalidField
from libs.rpc.unpack import validate

ID = token_pb2.ConnectionReference(connection_id="6f1c2f0e-6d0b-4f83-9a53-0a4a1b2c3d4e")


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (token_pb2.GetValidTokenRequest(), "connection is required"),
        (
            token_pb2.GetValidTokenRequest(connection=token_pb2.ConnectionReference()),
            "connection.reference must be one of connection_id, owner_connection",
        ),
        (token_pb2.RefreshTokenRequest(connection=ID), "request_id is required"),
        (
            token_pb2.RefreshTokenRequest(connection=ID, request_id="two words"),
            "request_id must be 1-64 printable ASCII characters without spaces",
        ),
        (
            token_pb2.StartAuthorizationRequest(),
            "provider must be one of PROVIDER_LOGIN_KIT, PROVIDER_TIKTOK_SHOP",
        ),
        (sync_pb2.StartSyncRequest(job=sync_pb2.JOB_USER), "scope must be one of store_code, all, stores, user_id"),
        (sync_pb2.GetStoreRequest(store_code="a b"), "store_code must be 1-50 letters, digits, _ and -"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_broken_rule_is_told_in_words(asked: Message, told: str) -> None:
    with pytest.raises(InvalidField) as caught:
        validate(asked)

    assert caught.value.message == told
