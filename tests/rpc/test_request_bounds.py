"""What no table takes and what has no end is refused by the rules of the protos, before anybody works on it."""

import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message
from protovalidate import ValidationError
from tokhub.audit.v1 import audit_pb2
from tokhub.sync.v1 import sync_pb2
from tokhub.token.v1 import token_pb2

from libs.errors import InvalidField
from libs.rpc.unpack import validate

MANY = 100_000
KINDS = [token_pb2.TOKEN_EVENT_KIND_ROTATED] * MANY


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        (
            token_pb2.WatchTokensRequest(filter=token_pb2.TokenFilter(kinds=KINDS)),
            "filter.kinds",
        ),
        (token_pb2.ListConnectionsRequest(statuses=[token_pb2.CONNECTION_STATUS_ACTIVE] * MANY), "statuses"),
        (
            sync_pb2.UpdateStoreRequest(
                store_code="a", store_name="A", update_mask=FieldMask(paths=["store_name"] * MANY)
            ),
            "update_mask",
        ),
        (audit_pb2.ListAuditRecordsRequest(actor="operator/\0"), "actor"),
        (token_pb2.CompleteAuthorizationRequest(shop_id="7\0"), "shop_id"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_lists_without_end_and_nul_are_refused(asked: Message, field: str) -> None:
    with pytest.raises(InvalidField) as caught:
        validate(asked)

    assert caught.value.field == field


def test_one_broken_rule_is_enough() -> None:
    with pytest.raises(InvalidField) as caught:
        validate(token_pb2.ListConnectionsRequest(owner_ids=["a b"] * 3))

    found = caught.value.__context__
    assert isinstance(found, ValidationError)
    assert len(found.violations) == 1
