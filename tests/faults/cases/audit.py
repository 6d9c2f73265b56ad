"""Faults of the audit trail: somebody with all rights on the database, and without the key, changes it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from tokhub.audit.v1 import audit_pb2, audit_pb2_grpc

from libs.audit.witness import CheckpointFile
from tests.faults.case import case, expect
from tests.faults.lab import Lab
from tests.faults.processes import ServiceProcess
from tests.faults.waiting import until

READS = 4

UP, DOWN = "UPDATE {0} SET sequence = sequence + 1000 WHERE sequence {1}", "UPDATE {0} SET sequence = sequence - {1}"
FORGED = """
INSERT INTO {0} (at, call, actor, method, request, request_id, outcome, sequence, key_id, previous, mac)
SELECT at, gen_random_uuid(), 'operator/mallory', method, request, request_id, outcome, {1}, key_id, previous, mac
FROM {0} WHERE sequence = 3
"""


@dataclass(frozen=True, kw_only=True)
class Forgery:
    """What is done to a table, and the first sequence and the kind that a verification has to name."""

    statements: Sequence[str]
    found: str


FORGERIES: Mapping[str, Forgery] = MappingProxyType(
    {
        "edit": Forgery(statements=["UPDATE {0} SET actor = 'operator/bob' WHERE sequence = 3"], found="3 EDITED"),
        "delete": Forgery(statements=["DELETE FROM {0} WHERE sequence = 3"], found="3 DELETED"),
        "delete and close up": Forgery(
            statements=[
                "DELETE FROM {0} WHERE sequence = 3",
                UP.format("{0}", "> 3"),
                DOWN.format("{0}", "1001 WHERE sequence > 1000"),
            ],
            found="3 DELETED",
        ),
        "insert": Forgery(
            statements=[
                UP.format("{0}", "> 3"),
                DOWN.format("{0}", "999 WHERE sequence > 1000"),
                FORGED.format("{0}", "4"),
            ],
            found="4 INSERTED",
        ),
        "insert outside the chain": Forgery(statements=[FORGED.format("{0}", "NULL")], found="{end} INSERTED"),
        "reorder": Forgery(
            statements=[
                UP.format("{0}", "= 3"),
                DOWN.format("{0}", "1 WHERE sequence = 4"),
                DOWN.format("{0}", "999 WHERE sequence > 1000"),
            ],
            found="3 REORDERED",
        ),
        "truncate the tail": Forgery(statements=["DELETE FROM {0} WHERE sequence > 5"], found="6 TRUNCATED"),
        "truncate all": Forgery(statements=["TRUNCATE {0}"], found="1 TRUNCATED"),
    }
)
COPY = "CREATE TABLE public.original AS TABLE {0}"
GUARDS = "ALTER TABLE {0} {1} TRIGGER USER"
PUT_BACK = "TRUNCATE {0}; INSERT INTO {0} OVERRIDING SYSTEM VALUE TABLE public.original"


@dataclass
class Books:
    """The audit trail of a service."""

    lab: Lab
    process: ServiceProcess
    schema: str
    seen: list[str] = field(default_factory=list)

    @property
    def table(self) -> str:
        """Its table."""
        return f"{self.schema}.audit_calls"

    @property
    def file(self) -> CheckpointFile:
        """Where the service keeps its checkpoint."""
        return CheckpointFile(self.lab.directory / "audit" / f"{self.schema}.checkpoint")

    async def verify(self, checkpoint: str = "") -> audit_pb2.AuditSummary:
        """Return what the service finds."""
        call = audit_pb2_grpc.AuditServiceStub(self.process.target).VerifyAudit(
            audit_pb2.VerifyAuditRequest(checkpoint=checkpoint), timeout=30
        )
        *_, last = [step async for step in call]
        return last.summary

    async def kept(self, checkpoint: str) -> None:
        """Wait until the service has kept this checkpoint by itself."""

        async def is_there() -> bool:
            return str(self.file.read()) == checkpoint

        await until(f"checkpoint {checkpoint}", is_there, within=60)

    async def forge(self, name: str, forgery: Forgery, end: int) -> None:
        """Do as somebody with all rights does, see what is found, and put it all back."""
        statements = [one.format(self.table) for one in forgery.statements]
        disabled, enabled = (GUARDS.format(self.table, what) for what in ("DISABLE", "ENABLE"))
        await self.lab.script(";".join((COPY.format(self.table), disabled, *statements, enabled)))
        found = told(await self.verify())
        expect(found == forgery.found.format(end=end), f"{self.schema}, {name}: {found}")
        await self.lab.script(";".join((disabled, PUT_BACK.format(self.table), enabled, "DROP TABLE public.original")))
        self.seen.append(f"{name}: {found}")


def told(summary: audit_pb2.AuditSummary) -> str:
    """Return a finding in short."""
    kind = audit_pb2.AuditBreakKind.Name(summary.broken.kind).removeprefix("AUDIT_BREAK_KIND_")
    return "whole" if summary.whole else f"{summary.broken.sequence} {kind}"


@case(
    "S19",
    fault="a superuser edits, deletes, inserts and reorders rows of the audit trail, cuts its tail, empties it",
    expected="the verification names the first bad sequence and what was done; a cut tail by the checkpoint on disk",
)
async def forged_trail(lab: Lab) -> str:
    lab.certify()
    replica = await lab.replica()
    await lab.connect(replica, "shop-1")
    for _ in range(READS):
        await replica.ask("shop-1")
    sync = await lab.sync()
    await sync.create_stores(*(f"shop-{number}" for number in range(READS)))
    seen = []
    for books in (Books(lab, replica, "credentials"), Books(lab, sync, "reporting")):
        whole = await books.verify()
        expect(whole.whole and whole.rows >= 2 * READS and whole.first_sequence == 1, whole)
        await books.kept(whole.checkpoint)
        for name, forgery in FORGERIES.items():
            await books.forge(name, forgery, whole.rows + 1)
        again = await books.verify(whole.checkpoint)
        expect(again.whole, told(again))
        seen.append(f"{books.schema}, {whole.rows} rows: {'; '.join(books.seen)}; put back: whole")
    return " | ".join(seen)
