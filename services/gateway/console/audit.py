"""Who did what, and whether anybody has changed what is recorded."""

import asyncio
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal

from fastapi import APIRouter, Request
from pydantic import Field
from starlette.responses import Response
from tokhub.audit.v1 import audit_pb2

from services.gateway.backends import Backends
from services.gateway.bodies import Body
from services.gateway.console.forms import fields_of, read_form
from services.gateway.console.navigation import CONSOLE
from services.gateway.console.pages import ConsolePages
from services.gateway.parameters import Actor, PageToken, Trail, TrailName
from services.gateway.rules import CHECKPOINT, RULES
from services.gateway.shapes.audit import verification

AUDIT = f"{CONSOLE}/audit"
VERIFY = f"{AUDIT}/verify"
RECORDS = 50
BREAKS: Mapping[str, str] = MappingProxyType(
    {
        "EDITED": "that row says something else than it did",
        "DELETED": "that row is missing",
        "INSERTED": "that row was not written by the service",
        "REORDERED": "that row belongs to another place",
        "TRUNCATED": "rows at the end are missing",
        "UNKNOWN_KEY": "that row's key is not in AUDIT_KEYS",
    }
)


class Kept(Body):
    """A checkpoint that somebody kept, of which service; an empty one is none."""

    service: Literal["token", "sync"] = "token"
    checkpoint: str = Field("", max_length=100)


class AuditPage:
    """Shows the trails of both services and walks their chains."""

    def __init__(self, *, backends: Backends, pages: ConsolePages) -> None:
        self._trails = {TrailName.TOKEN: backends.token_audit, TrailName.SYNC: backends.sync_audit}
        self._pages = pages
        self._turns = {name: asyncio.Lock() for name in TrailName}
        self._walks: dict[tuple[TrailName, str], asyncio.Task[dict[str, Any]]] = {}

    def add_to(self, router: APIRouter) -> None:
        """Declare the pages."""
        router.add_api_route(AUDIT, self.show, include_in_schema=False)
        router.add_api_route(VERIFY, self.before, include_in_schema=False)
        router.add_api_route(VERIFY, self.verify, methods=["POST"], include_in_schema=False)

    async def show(
        self, request: Request, service: Trail = TrailName.TOKEN, actor: Actor = "", page_token: PageToken = ""
    ) -> Response:
        """Answer with a page of what was recorded."""
        wanted = actor.strip()
        asked = audit_pb2.ListAuditRecordsRequest(page_size=RECORDS, page_token=page_token, actor=wanted)
        page = await self._trails[service].ListAuditRecords(asked)
        return self._pages.page(
            request,
            "audit.html",
            records=[record_view(record) for record in page.records],
            service=service.value,
            actor=wanted,
            next=page.next_page_token,
            is_first=not page_token,
        )

    async def before(self, request: Request) -> Response:
        """Answer with the page; no link and no reload begins a walk."""
        return self._page(request, Kept())

    async def verify(self, request: Request) -> Response:
        """Answer with what a walk over both chains found; a checkpoint that somebody kept is looked for in one."""
        kept = read_form(Kept, await fields_of(request))
        checkpoint = kept.checkpoint.strip()
        if checkpoint and not re.fullmatch(CHECKPOINT, checkpoint):
            return self._page(request, kept, 400, problem=f"The checkpoint {RULES['checkpoint']}")
        looked_for = {TrailName(kept.service): checkpoint}
        found = await asyncio.gather(*(self._verified(name, looked_for.get(name, "")) for name in TrailName))
        return self._page(request, kept, found=dict(zip((name.value for name in TrailName), found, strict=True)))

    def _page(self, request: Request, kept: Kept, status: int = 200, **told: Any) -> Response:
        values = {"kept": kept, "breaks": BREAKS, "found": {}, "problem": "", **told}
        return self._pages.page(request, "verify.html", status, **values)

    async def _verified(self, name: TrailName, checkpoint: str) -> dict[str, Any]:
        """Return what a walk found, which who asks the same meanwhile shares; of one chain there is one at a time."""
        key = (name, checkpoint)
        if key not in self._walks:
            walk = self._walks[key] = asyncio.create_task(self._walk(name, checkpoint), name="audit walk")
            walk.add_done_callback(lambda _: self._walks.pop(key))
        return await asyncio.shield(self._walks[key])

    async def _walk(self, name: TrailName, checkpoint: str) -> dict[str, Any]:
        async with self._turns[name]:
            call = self._trails[name].VerifyAudit(audit_pb2.VerifyAuditRequest(checkpoint=checkpoint))
            try:
                *_, last = [step async for step in call]
            finally:
                call.cancel()
        return verification(last.summary)


def record_view(record: audit_pb2.AuditRecord) -> dict[str, Any]:
    """Return a recorded call for a template."""
    return {
        "at": record.begin_time,
        "actor": record.actor,
        "method": record.method.rpartition("/")[2],
        "full": record.method,
        "request": record.request_json,
        "request_id": record.request_id,
        "outcome": record.outcome,
    }
