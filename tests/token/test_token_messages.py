"""What a token's message says of its connection is written once for each reading, and never kept for the next."""

from dataclasses import replace
from weakref import ref

import pytest

from libs.secret import Secret
from services.token.core.tokens import Source, ValidToken
from services.token.servicers import batching
from services.token.servicers.batching import Drafts, token_message
from tests.token.conftest import House


async def test_a_newer_reading_is_told_in_its_own_words(house: House) -> None:
    old = await house.connect()
    new = replace(old, version=old.version.refreshed())
    drafts = Drafts()

    assert [drafts.of(one).generation for one in (old, new)] == [old.version.generation, new.version.generation]


async def test_a_token_does_not_stay_in_the_draft(house: House) -> None:
    connection, drafts = await house.connect(), Drafts()
    message = token_message(ValidToken(connection, Secret("act.1"), True, Source.CACHE), drafts.of(connection))

    assert message.access_token == "act.1"
    assert drafts.of(connection).access_token == ""


async def test_drafts_do_not_pile_up(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batching, "MOST", 1)
    first, second, drafts = await house.connect("shop-1"), await house.connect("shop-2"), Drafts()
    kept = drafts.of(first)
    drafts.of(second)

    assert drafts.of(first) is not kept


async def test_a_draft_outlives_its_reading_alone(house: House) -> None:
    connection, drafts = await house.connect(), Drafts()
    drafts.of(connection)
    reading = ref(connection)
    del connection

    assert reading() is None
