"""Control routes of the ledger: figures, events, and the grants of one account or seller."""

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from sandbox.web.guard import MOST_PER_PAGE, ControlRoute, number, open_id_of
from sandbox.world import World


class LedgerControl:
    """What was minted, presented and called."""

    def __init__(self, world: World) -> None:
        self._world = world

    def table(self) -> list[ControlRoute]:
        """Return the routes."""
        return [
            ControlRoute("GET", "/sandbox/ledger", self.ledger, "counters"),
            ControlRoute("DELETE", "/sandbox/ledger", self.reset_ledger, "forget all"),
            ControlRoute("GET", "/sandbox/ledger/events", self.events, "?after=&limit=&open_id="),
            ControlRoute("GET", "/sandbox/ledger/dead", self.dead, "tokens presented after their death; ?open_id="),
            ControlRoute("GET", "/sandbox/ledger/accounts/{open_id}", self.account, "counters and grants of one"),
        ]

    async def ledger(self, _request: Request) -> Response:
        """Show the figures of the whole run."""
        ledger = self._world.ledger
        return JSONResponse({**ledger.summary(), "refreshes_per_grant": ledger.refreshes_per_grant()})

    async def reset_ledger(self, _request: Request) -> Response:
        """Forget all figures and events."""
        self._world.ledger.reset()
        return Response(status_code=204)

    async def events(self, request: Request) -> Response:
        """Show kept events, oldest first."""
        after, limit = number(request, "after", 0), number(request, "limit", 1_000)
        rows = self._world.ledger.events(after=after, limit=limit, open_id=request.query_params.get("open_id"))
        return JSONResponse({"events": rows, "next_after": rows[-1]["sequence"] if rows else after})

    async def dead(self, request: Request) -> Response:
        """Show which tokens were presented after their death, how often and by whom."""
        name = request.query_params.get("open_id")
        open_id = open_id_of(self._world, name) if name else None
        return JSONResponse({"tokens": self._world.ledger.dead_tokens(open_id)[:MOST_PER_PAGE]})

    async def account(self, request: Request) -> Response:
        """Show the figures and the grants of one account or seller, with the refresh token that works now."""
        open_id = open_id_of(self._world, request.path_params["open_id"])
        grants = [
            {
                **grant.as_json(),
                **self._world.ledger.grant(grant.id),
                "live_refresh_token": None if grant.revoked else self._world.grants.live_refresh_token(grant),
            }
            for grant in self._world.grants.of(open_id)
        ]
        return JSONResponse({"open_id": open_id, **self._world.ledger.account(open_id), "grants": grants})
