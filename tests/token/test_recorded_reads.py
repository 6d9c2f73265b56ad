"""Who reads tokens: what operators read is in the audit trail, what services read is not."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest
from tokhub.audit.v1 import audit_pb2, audit_pb2_grpc
from tokhub.token.v1 import token_pb2, token_pb2_grpc

from libs.errors import NotAllowed, StorageUnavailable
from libs.rpc.actor import bind_actor
from tests.fixtures_sandbox import SandboxProcess
from tests.rpc.certified import HERE, Office
from tests.token.token_process import TokenProcess, environment, running

OWNER = token_pb2.Owner(kind=token_pb2.OWNER_KIND_STORE, id="shop-1")
REFERENCE = token_pb2.ConnectionReference(
    owner_connection=token_pb2.OwnerConnection(provider=token_pb2.PROVIDER_LOGIN_KIT, owner=OWNER)
)

FULL_DISK = """
    CREATE FUNCTION credentials.full() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN RAISE EXCEPTION 'no space left' USING ERRCODE = '53100'; END $$;
    CREATE TRIGGER full_disk BEFORE INSERT ON credentials.audit_calls
        FOR EACH ROW EXECUTE FUNCTION credentials.full();
"""


class House:
    """A token service with certificates and one connected store."""

    def __init__(self, office: Office, service: TokenProcess, dsn: str) -> None:
        self.office = office
        self.service = service
        self.dsn = dsn

    async def connect(self, sandbox: SandboxProcess) -> None:
        """Let the owner of the store consent, through the gateway."""
        async with self.office.channel(self.service.target, "svc/gateway") as channel:
            stub = token_pb2_grpc.ConnectionServiceStub(channel)
            request = token_pb2.StartAuthorizationRequest(
                provider=token_pb2.PROVIDER_LOGIN_KIT, owner=OWNER, binding=token_pb2.LINK_BINDING_NONE
            )
            link = (await stub.StartAuthorization(request)).authorize_url
            came_back = await asyncio.to_thread(sandbox.consent, link, sandbox.next_account())
            await stub.CompleteAuthorization(
                token_pb2.CompleteAuthorizationRequest(state=came_back["state"], code=came_back["code"])
            )

    async def read(self, who: str) -> str:
        """Return the store's token as the service tells it to somebody."""
        async with self.office.channel(self.service.target, who) as channel:
            stub = token_pb2_grpc.TokenServiceStub(channel)
            return (await stub.GetValidToken(token_pb2.GetValidTokenRequest(connection=REFERENCE))).access_token

    async def verified(self, checkpoint: str = "") -> audit_pb2.AuditSummary:
        """Return what the service finds in its trail."""
        async with self.office.channel(self.service.target, "svc/gateway") as channel:
            call = audit_pb2_grpc.AuditServiceStub(channel).VerifyAudit(
                audit_pb2.VerifyAuditRequest(checkpoint=checkpoint)
            )
            *_, last = [step async for step in call]
        return last.summary

    async def sql(self, statement: str) -> list[asyncpg.Record]:
        database = await asyncpg.connect(self.dsn)
        try:
            rows: list[asyncpg.Record] = await database.fetch(statement)
        finally:
            await database.close()
        return rows

    async def script(self, statements: str) -> None:
        database = await asyncpg.connect(self.dsn)
        try:
            await database.execute(statements)
        finally:
            await database.close()

    async def recorded(self) -> list[asyncpg.Record]:
        return await self.sql("SELECT *, to_jsonb(audit_calls)::text AS whole FROM credentials.audit_calls ORDER BY id")


@pytest.fixture
async def certified(tmp_path: Path, token_dsn: str, sandbox: SandboxProcess) -> AsyncIterator[House]:
    office = Office(tmp_path / "office")
    files = office.files("svc/token", hosts=HERE)
    told = {"TLS_CA": str(files.ca), "TLS_CERT": str(files.certificate), "TLS_KEY": str(files.key)}
    told |= {"AUDIT_DIR": str(tmp_path / "audit")}
    async with running(environment(token_dsn, sandbox) | told) as service:
        house = House(office, service, token_dsn)
        await house.connect(sandbox)
        yield house


async def test_every_read_of_an_operator_is_recorded(certified: House) -> None:
    token = await certified.read("operator/alice")
    begun, ended = await certified.recorded()
    assert (begun["actor"], begun["outcome"], ended["outcome"]) == ("operator/alice", "BEGUN", "OK")
    assert begun["method"].endswith("/GetValidToken")
    assert '"shop-1"' in begun["request"]
    assert token not in begun["whole"] + ended["whole"]


async def test_reads_of_services_are_not_recorded(certified: House) -> None:
    assert await certified.read("svc/sync")
    assert await certified.recorded() == []


async def test_the_trail_is_listed_page_by_page(certified: House) -> None:
    for who in ("operator/alice", "operator/bob", "operator/alice"):
        await certified.read(who)
    async with certified.office.channel(certified.service.target, "svc/gateway") as channel:
        stub = audit_pb2_grpc.AuditServiceStub(channel)
        first = await stub.ListAuditRecords(audit_pb2.ListAuditRecordsRequest(page_size=2))
        rest = await stub.ListAuditRecords(
            audit_pb2.ListAuditRecordsRequest(page_size=2, page_token=first.next_page_token)
        )
        hers = await stub.ListAuditRecords(audit_pb2.ListAuditRecordsRequest(actor="operator/alice"))
    listed = [*first.records, *rest.records]
    assert [record.actor for record in listed] == ["operator/alice", "operator/bob", "operator/alice"]
    assert rest.next_page_token == ""
    assert len(hers.records) == 2
    newest = listed[0]
    assert (newest.method, newest.outcome) == ("/tokhub.token.v1.TokenService/GetValidToken", "OK")
    assert newest.begin_time.ToNanoseconds() <= newest.end_time.ToNanoseconds()
    assert json.loads(newest.request_json)["connection"]["ownerConnection"]["owner"]["id"] == "shop-1"


async def test_a_call_without_an_end_is_listed_without_one(certified: House) -> None:
    await certified.sql(
        "INSERT INTO credentials.audit_calls (call, actor, method, request, request_id, outcome) "
        "VALUES (gen_random_uuid(), 'operator/alice', '/a/B', '{}', 'r', 'BEGUN')"
    )
    async with certified.office.channel(certified.service.target, "operator/alice") as channel:
        stub = audit_pb2_grpc.AuditServiceStub(channel)
        (record,) = (await stub.ListAuditRecords(audit_pb2.ListAuditRecordsRequest())).records
    assert (record.method, record.outcome, record.HasField("end_time")) == ("/a/B", "", False)


async def test_the_trail_is_verified_by_the_service_that_writes_it(certified: House) -> None:
    await certified.read("operator/alice")
    whole = await certified.verified()
    assert (whole.whole, whole.rows, whole.first_sequence, whole.unchained_rows) == (True, 2, 1, 0)
    await certified.script(
        "ALTER TABLE credentials.audit_calls DISABLE TRIGGER USER; DELETE FROM credentials.audit_calls"
    )
    await certified.read("operator/bob")
    cut = await certified.verified(whole.checkpoint)
    assert (cut.whole, cut.broken.sequence) == (False, 2)
    assert cut.broken.kind == audit_pb2.AUDIT_BREAK_KIND_TRUNCATED


async def test_a_denied_call_is_listed_as_one_that_ended_at_once(certified: House) -> None:
    with pytest.raises(NotAllowed):
        await certified.read("svc/gateway")
    async with certified.office.channel(certified.service.target, "operator/alice") as channel:
        stub = audit_pb2_grpc.AuditServiceStub(channel)
        (record,) = (await stub.ListAuditRecords(audit_pb2.ListAuditRecordsRequest())).records
    assert (record.actor, record.outcome, record.end_time) == ("svc/gateway", "DENIED", record.begin_time)


async def test_what_the_gateway_denied_to_a_key_is_recorded_with_the_key(certified: House) -> None:
    bind_actor("key/viewer")
    async with certified.office.channel(certified.service.target, "svc/gateway") as channel:
        stub = audit_pb2_grpc.AuditServiceStub(channel)
        await stub.ReportDenial(audit_pb2.ReportDenialRequest(attempt="POST /admin/stores"))
        (record,) = (await stub.ListAuditRecords(audit_pb2.ListAuditRecordsRequest())).records
    assert (record.actor, record.outcome) == ("svc/gateway for key/viewer", "OK")
    assert json.loads(record.request_json) == {"attempt": "POST /admin/stores"}


async def test_no_record_no_token(certified: House) -> None:
    await certified.script(FULL_DISK)
    with pytest.raises(StorageUnavailable):
        await certified.read("operator/alice")
    assert await certified.read("svc/sync")


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE credentials.audit_calls SET actor = 'x'",
        "DELETE FROM credentials.audit_calls",
        "TRUNCATE credentials.audit_calls",
    ],
)
async def test_no_record_is_changed(certified: House, change: str) -> None:
    await certified.read("operator/alice")
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="never changed"):
        await certified.sql(change)
    assert len(await certified.recorded()) == 2
