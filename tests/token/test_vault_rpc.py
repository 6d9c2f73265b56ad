"""VaultService through a real server, and replicas that start with the wrong keys."""

import asyncio
from pathlib import Path

import asyncpg
import pytest
from tokhub.token.v1 import token_pb2, token_pb2_grpc, vault_pb2, vault_pb2_grpc

from libs.errors import KeyNotReady
from libs.rpc.client import open_channel
from tests.fixtures_sandbox import SandboxProcess
from tests.token.rpc_client import Client, reference
from tests.token.token_process import KEY_HEX, environment, launch, running

OTHER_HEX = bytes(range(100, 132)).hex()


def vault_of(client: Client) -> vault_pb2_grpc.VaultServiceStub:
    return vault_pb2_grpc.VaultServiceStub(client.channel)


async def damage(token_dsn: str, code: str) -> None:
    database = await asyncpg.connect(token_dsn)
    await database.execute(
        "UPDATE credentials.connections SET refresh_token = access_token WHERE owner_id = $1",
        code,
    )
    await database.close()


async def test_the_ring_is_shown_without_a_key(client: Client) -> None:
    await client.connect("shop-1")

    ring = await vault_of(client).GetKeyRing(vault_pb2.GetKeyRingRequest())

    key = ring.keys[0]
    assert (len(ring.keys), key.id, key.rows, ring.unrecognised_rows) == (1, "default", 1, 0)
    assert KEY_HEX not in str(ring)


async def test_the_ring_tells_who_knows_which_key_and_what_is_under_none(
    token_dsn: str, sandbox: SandboxProcess
) -> None:
    old = environment(token_dsn, sandbox)
    ring = old | {"TOKEN_ENC_KEY": "", "TOKEN_ENC_KEYS": f"k2:{OTHER_HEX},default:{KEY_HEX}"}
    async with running(old) as first, running(ring), open_channel(first.target) as channel:
        told = await vault_pb2_grpc.VaultServiceStub(channel).GetKeyRing(vault_pb2.GetKeyRingRequest())

    keys = {key.id: (key.active, key.preferred, len(key.replicas), key.HasField("activate_time")) for key in told.keys}
    assert keys == {"default": (True, True, 2, True), "k2": (False, True, 1, False)}
    assert len(told.live_replicas) == 2


async def test_the_ring_counts_what_is_sealed_and_what_no_key_has_sealed(client: Client, token_dsn: str) -> None:
    for code in ("shop-1", "shop-2"):
        await client.connect(code)
    database = await asyncpg.connect(token_dsn)
    await database.execute("UPDATE credentials.connections SET access_token = '\\x00' WHERE owner_id = 'shop-1'")
    await database.execute("UPDATE credentials.key_canaries SET encryptions = 7")
    await database.close()

    told = await vault_of(client).GetKeyRing(vault_pb2.GetKeyRingRequest())

    assert (told.unrecognised_rows, [key.encryptions for key in told.keys]) == (1, [7])


async def test_every_field_that_does_not_open_is_reported_then_one_summary(client: Client, token_dsn: str) -> None:
    connection = await client.connect("shop-1")
    await client.connect("shop-2")
    await damage(token_dsn, "shop-1")

    parts = [part async for part in vault_of(client).VerifyVault(vault_pb2.VerifyVaultRequest())]

    found, summary = parts[0].unreadable, parts[-1].summary
    assert (len(parts), found.connection_id, found.owner) == (2, connection.id, "store shop-1")
    assert found.field == vault_pb2.SEALED_FIELD_REFRESH_TOKEN
    assert "another place" in found.why
    assert (summary.rows, summary.unreadable_rows, summary.unreadable_tokens) == (2, 1, 1)


def damage_journal(directory: Path) -> None:
    (path,) = directory.glob("*.journal")
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


async def verified(target: str) -> list[vault_pb2.VerifyVaultResponse]:
    async with open_channel(target) as channel:
        call = vault_pb2_grpc.VaultServiceStub(channel).VerifyVault(vault_pb2.VerifyVaultRequest())
        return [part async for part in call]


async def test_the_journal_of_the_replica_that_answers_is_verified(
    client: Client, token_dsn: str, sandbox: SandboxProcess, tmp_path: Path
) -> None:
    connection = await client.connect("shop-1")
    async with running(environment(token_dsn, sandbox, tmp_path)) as service:
        async with open_channel(service.target) as channel:
            request = token_pb2.RefreshTokenRequest(connection=reference("shop-1"), request_id="r1")
            await token_pb2_grpc.TokenServiceStub(channel).RefreshToken(request)
        (whole,) = await verified(service.target)
        damage_journal(tmp_path)
        found, summary = await verified(service.target)

    assert (whole.summary.journal_records, whole.summary.unreadable_journal_records) == (1, 0)
    assert (found.unreadable_record.connection_id, found.unreadable_record.number) == (connection.id, 0)
    assert (summary.summary.rows, summary.summary.unreadable_journal_records) == (1, 1)


async def test_a_rotation_tells_how_it_goes(client: Client) -> None:
    await client.connect("shop-1")

    call = vault_of(client).RotateKeys(vault_pb2.RotateKeysRequest())
    stages = []
    async for step in call:
        stages.append(step.progress.stage)
        if stages[-1] == vault_pb2.ROTATION_STAGE_SETTLING:
            break
    call.cancel()

    assert stages == [vault_pb2.ROTATION_STAGE_REWRITING, vault_pb2.ROTATION_STAGE_SETTLING]


async def test_a_refused_rotation_says_which_replica_lacks_the_key(token_dsn: str, sandbox: SandboxProcess) -> None:
    old = environment(token_dsn, sandbox)
    new = old | {"TOKEN_ENC_KEY": "", "TOKEN_ENC_KEYS": f"k2:{OTHER_HEX},default:{KEY_HEX}"}
    async with running(old), running(new) as service:
        with pytest.raises(KeyNotReady, match="k2 is not active yet") as caught:
            await rotate(service.target)

    assert caught.value.metadata["key_id"] == "k2"


async def test_a_replica_without_the_active_key_ends_with_a_line(token_dsn: str, sandbox: SandboxProcess) -> None:
    old = environment(token_dsn, sandbox)
    async with running(old | {"TOKEN_ENC_KEY": "", "TOKEN_ENC_KEYS": f"k2:{OTHER_HEX},default:{KEY_HEX}"}):
        process = await launch(old)
        _, said = await process.communicate()

    assert (process.returncode, said.count(b"\n")) == (78, 1)
    assert "key k2 seals the stored tokens now" in said.decode()


async def rotate(target: str) -> None:
    """Call RotateKeys to its end."""
    async with open_channel(target) as channel:
        async for _ in vault_pb2_grpc.VaultServiceStub(channel).RotateKeys(vault_pb2.RotateKeysRequest()):
            await asyncio.sleep(0)
