"""Page tokens that nobody gave out are refused, whatever is in them."""

from collections.abc import Callable

import pytest

from libs.errors import InvalidField
from services.sync.servicers.page_tokens import encode, growth_behind, run_position, store_behind, video_position

READERS: dict[str, tuple[Callable[[str], object], int]] = {
    "stores": (store_behind, 1),
    "growth": (growth_behind, 1),
    "runs": (run_position, 2),
    "videos": (video_position, 2),
}


@pytest.mark.parametrize("kind", READERS)
@pytest.mark.parametrize("text", ["\0", "\ud800", "a\n"])
def test_a_token_of_what_cannot_be_stored_is_refused(kind: str, text: str) -> None:
    read, count = READERS[kind]

    with pytest.raises(InvalidField, match="next_page_token"):
        read(encode(kind, *("2026-01-01", text)[-count:]))
