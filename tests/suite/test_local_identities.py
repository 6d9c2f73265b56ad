"""The certificates that `make run` makes."""

import asyncio
from datetime import datetime, timedelta
from errno import ENOSPC
from itertools import chain, repeat
from pathlib import Path

import pytest

from deploy.local.identities import LIFE, OPERATOR, RENEWED, Identities
from libs.clock import SystemClock
from libs.rpc.tls import Certificates


class LaterClock(SystemClock):
    """The machine's clock, as far ahead as a test says."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def now(self) -> datetime:
        return super().now() + self.ahead


@pytest.fixture
def clock() -> LaterClock:
    return LaterClock()


def identities(directory: Path, clock: LaterClock, *token: str) -> Identities:
    hosts = {"token": token or ("127.0.0.1",), "sync": ("127.0.0.1",), "gateway": ()}
    made = Identities(directory=directory / "tls", hosts=hosts, clock=clock)
    made.renew()
    return made


@pytest.fixture
def made(tmp_path: Path, clock: LaterClock) -> Identities:
    return identities(tmp_path, clock)


def held(made: Identities) -> dict[str, str]:
    return {file.name: file.read_text() for file in made.directory.iterdir()}


def changed(before: dict[str, str], after: dict[str, str]) -> set[str]:
    return {name.partition(".")[0] for name in after if after[name] != before.get(name)}


def test_everybody_gets_files_that_can_be_used(made: Identities, clock: LaterClock) -> None:
    for name in ("token", "sync", "gateway", OPERATOR):
        assert Certificates(made.files(name), clock).current().key


def test_nobody_else_can_read_them(made: Identities) -> None:
    assert {file.stat().st_mode & 0o777 for file in made.directory.iterdir()} == {0o600}
    assert made.directory.stat().st_mode & 0o777 == 0o700


def test_what_is_good_stays_as_it_is(made: Identities, clock: LaterClock) -> None:
    before = held(made)
    clock.ahead = LIFE - RENEWED - timedelta(hours=1)
    made.renew()
    assert held(made) == before


def test_what_ends_soon_is_renewed_under_the_same_authority(made: Identities, clock: LaterClock) -> None:
    before = held(made)
    clock.ahead = LIFE - RENEWED + timedelta(hours=1)
    made.renew()
    assert changed(before, held(made)) == {"token", "sync", "gateway", OPERATOR}


def test_an_authority_that_ends_is_replaced_with_all_it_issued(made: Identities, clock: LaterClock) -> None:
    before = held(made)
    clock.ahead = timedelta(days=3640)
    made.renew()
    assert changed(before, held(made)) == {"ca", "token", "sync", "gateway", OPERATOR}


@pytest.mark.parametrize("file", ["sync.pem", "sync.key"])
@pytest.mark.parametrize("text", ["", "-----BEGIN CERTIFICATE-----\nnone\n-----END CERTIFICATE-----\n"])
def test_a_damaged_file_is_made_anew(made: Identities, file: str, text: str) -> None:
    (made.directory / file).write_text(text)
    before = held(made)
    made.renew()
    assert changed(before, held(made)) == {"sync"}


def test_another_ones_key_is_made_anew(made: Identities) -> None:
    (made.directory / "sync.key").write_text((made.directory / "token.key").read_text())
    before = held(made)
    made.renew()
    assert changed(before, held(made)) == {"sync"}


def test_a_service_that_moves_gets_a_certificate_for_its_new_host(tmp_path: Path, clock: LaterClock) -> None:
    before = held(identities(tmp_path, clock))
    assert changed(before, held(identities(tmp_path, clock, "127.0.0.1", "10.0.0.5"))) == {"token"}


def test_a_certificate_of_another_authority_is_made_anew(made: Identities) -> None:
    before = held(made)
    for name in ("ca.pem", "ca.key"):
        (made.directory / name).unlink()
    made.renew()
    assert changed(before, held(made)) == {"ca", "token", "sync", "gateway", OPERATOR}


def no_room() -> None:
    raise OSError(ENOSPC, "No space left on device")


async def test_a_disk_that_is_full_at_one_look_is_tried_again_at_the_next(
    made: Identities, monkeypatch: pytest.MonkeyPatch
) -> None:
    again = asyncio.Event()
    looks = chain([no_room], repeat(again.set))
    monkeypatch.setattr(Identities, "renew", lambda _self: next(looks)())
    monkeypatch.setattr("deploy.local.identities.RENEW_EVERY", 0.0)
    async with made.kept():
        await asyncio.wait_for(again.wait(), 5)
