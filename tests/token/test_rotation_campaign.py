"""Rotation by real processes that are killed in the middle, while tokens are refreshed and stores disconnected."""

from pathlib import Path

from tests.fixtures_sandbox import SandboxProcess
from tests.token.rotation_campaign import Size, rotate_under_fire


async def test_no_row_becomes_unreadable_when_a_rotation_is_killed(
    token_dsn: str, sandbox: SandboxProcess, tmp_path: Path
) -> None:
    size = Size(stores=60, rotations=1, refreshes_per_second=25)

    outcome = await rotate_under_fire(token_dsn, sandbox, tmp_path, size)

    vaulted = outcome.vaulted
    assert (outcome.killed_in_a_batch, vaulted.verified.rows) == (1, 59)
    assert (vaulted.verified.unreadable_tokens, vaulted.lost_tokens, vaulted.dead_tokens_presented) == (0, 0, 0)
    assert vaulted.rows_under_old_keys == 0
    assert outcome.refreshes > 0
