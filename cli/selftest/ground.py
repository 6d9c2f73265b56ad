"""Connections that belong to nobody but a test: made through the consent page, and ended with it."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import TypeAlias

from tokhub.token.v1 import token_pb2

from cli.selftest.sandbox import Counted, Sandbox, open_sandbox
from cli.services import Services
from libs.errors import TokhubError

NAMESPACE = "selftest"
# What a caller is answered: a token, or an error in its place.
Told: TypeAlias = token_pb2.GetValidTokenResponse | TokhubError

PROVIDER = token_pb2.PROVIDER_LOGIN_KIT


@dataclass(frozen=True, kw_only=True)
class Subject:
    """One connection of a test and the sandbox account behind it, with what was counted of it before."""

    id: str
    account: str
    open_id: str
    before: Counted

    @property
    def reference(self) -> token_pb2.ConnectionReference:
        """What names it in a call."""
        return token_pb2.ConnectionReference(connection_id=self.id)


@dataclass(kw_only=True)
class Ground:
    """Where a test plays: the deployment, its sandbox, and owners whose names no other test has."""

    services: Services
    sandbox: Sandbox
    namespace: str
    subjects: list[Subject] = field(default_factory=list)

    async def connect(self, **fault: object) -> Subject:
        """Connect an account that nobody has; a fault hits the exchange of its code."""
        account = (await self.sandbox.free_accounts(1))[0]
        before = await self.sandbox.counted(account)
        if fault:
            await self.sandbox.fault("field", account, **fault)
        link = await start(self.services, f"{self.namespace}_{len(self.subjects) + 1}")
        back = await self.sandbox.consent(link.authorize_url, account)
        completed = await self.services.token.connections.CompleteAuthorization(
            token_pb2.CompleteAuthorizationRequest(state=back["state"], code=back["code"])
        )
        made = completed.connection
        subject = Subject(id=made.id, account=account, open_id=made.account_id, before=before)
        self.subjects.append(subject)
        return subject

    async def token(self, subject: Subject, rejected: int | None = None) -> Told:
        """Return a token, or the error there was in its place."""
        request = token_pb2.GetValidTokenRequest(connection=subject.reference, rejected_generation=rejected)
        try:
            return await self.services.token.tokens.GetValidToken(request)
        except TokhubError as error:
            return error

    async def tokens(self, subject: Subject, callers: int, rejected: int | None = None) -> list[Told]:
        """Return what so many callers are told who ask at once."""
        return list(await asyncio.gather(*(self.token(subject, rejected) for _ in range(callers))))

    async def standing(self, subject: Subject) -> token_pb2.Connection:
        """Return a connection as it stands."""
        request = token_pb2.GetConnectionRequest(connection=subject.reference)
        return (await self.services.token.connections.GetConnection(request)).connection

    async def counted(self, subject: Subject) -> Counted:
        """Return what TikTok has counted of a connection."""
        now, before = await self.sandbox.counted(subject.account), subject.before
        return Counted(refreshes=now.refreshes - before.refreshes, repeats=now.repeats - before.repeats)

    async def disconnect(self, subject: Subject) -> None:
        """End a connection."""
        request = token_pb2.DisconnectRequest(connection=subject.reference)
        await self.services.token.connections.Disconnect(request)

    async def clear(self) -> None:
        """Take out the faults that are left, and end every connection that is, whatever the sandbox says."""
        try:
            await self.sandbox.forget_faults({subject.open_id for subject in self.subjects})
        finally:
            for subject in self.subjects:
                with suppress(TokhubError):
                    await self.disconnect(subject)


async def start(services: Services, owner: str) -> token_pb2.StartAuthorizationResponse:
    """Return a consent link for an owner."""
    request = token_pb2.StartAuthorizationRequest(
        provider=PROVIDER,
        owner=token_pb2.Owner(kind=token_pb2.OWNER_KIND_USER, id=owner),
        binding=token_pb2.LINK_BINDING_NONE,
    )
    return await services.token.connections.StartAuthorization(request)


@asynccontextmanager
async def open_ground(services: Services) -> AsyncIterator[Ground]:
    """Yield a ground of its own, and leave nothing connected on it; raise NoSandbox before anything is done."""
    namespace = f"{NAMESPACE}_{secrets.token_hex(4)}"
    link = await start(services, namespace)
    async with AsyncExitStack() as stack:
        sandbox = await stack.enter_async_context(open_sandbox(link.authorize_url))
        ground = Ground(services=services, sandbox=sandbox, namespace=namespace)
        stack.push_async_callback(ground.clear)
        yield ground
