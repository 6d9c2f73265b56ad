"""Where the chain stands is kept outside of the database, and what the chain has lost is told."""

from pathlib import Path

import pytest
from structlog.testing import capture_logs

from libs.audit.chain import Checkpoint
from libs.audit.witness import CheckpointFile, Witness
from tests.audit.conftest import Trail

Told = list[tuple[str, str]]


class Post:
    """A witness that keeps its checkpoint in a file."""

    def __init__(self, trail: Trail, path: Path) -> None:
        self.file = CheckpointFile(path)
        self._witness = Witness(rows=trail.rows, file=self.file)

    async def look(self) -> Told:
        """Look at the chain, and return what the log is told."""
        with capture_logs() as lines:
            await self._witness.look()
        return [(line["log_level"], line.get("checkpoint", "")) for line in lines]


@pytest.fixture
def post(trail: Trail, tmp_path: Path) -> Post:
    return Post(trail, tmp_path / "audit" / "credentials.checkpoint")


async def test_the_newest_row_is_kept_and_logged_once(trail: Trail, post: Post) -> None:
    assert await post.look() == []
    await trail.record(3)
    assert await post.look() == [("info", str(await trail.tail()))]
    assert post.file.read() == await trail.tail()
    assert await post.look() == []


async def test_a_cut_tail_is_told_and_the_checkpoint_stays(trail: Trail, post: Post) -> None:
    await trail.record(3)
    await post.look()
    kept = await trail.tail()
    await trail.break_by("DELETE FROM audit_calls WHERE sequence > 1")
    await trail.record(5)
    assert await post.look() == [("error", str(kept))]
    assert await post.look() == []
    assert post.file.read() == kept


async def test_a_file_that_is_no_checkpoint_is_told_and_replaced(trail: Trail, post: Post, tmp_path: Path) -> None:
    await trail.record(1)
    await post.look()
    (tmp_path / "audit" / "credentials.checkpoint").write_text("nonsense")
    kept = await trail.tail()
    assert await post.look() == [("error", ""), ("info", str(kept))]
    assert post.file.read() == kept


def test_a_place_that_cannot_be_written_to_ends_nothing(tmp_path: Path) -> None:
    (tmp_path / "audit").write_text("a file where a directory should be")
    with capture_logs() as lines:
        CheckpointFile(tmp_path / "audit" / "one").write(Checkpoint(1, bytes(32)))
    assert [line["log_level"] for line in lines] == ["error"]
