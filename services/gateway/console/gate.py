"""Lets those through who have signed in."""

from fastapi import Request

from services.gateway.errors import KeyRequired
from services.gateway.gates import AdminGate
from services.gateway.sessions import SESSION


class ConsoleGate:
    """Stands before every page; what a key may do is the same as everywhere."""

    def __init__(self, admin: AdminGate) -> None:
        self._admin = admin

    async def __call__(self, request: Request) -> None:
        """Leave the key in the request's state; raise LockedOut, RateLimited, Unauthenticated or NotAllowed."""
        await self._admin.let_in(request)
        if not SESSION.of(request):
            # Not counted as a failure: whoever opens a page guesses nothing.
            raise KeyRequired("Sign in to go on")
        await self._admin.ask_for_key(request)
