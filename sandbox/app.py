"""The sandbox as an ASGI application."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.routing import Route

from sandbox.settings import Settings
from sandbox.web.authorize import AuthorizeRoutes
from sandbox.web.control import ControlRoutes
from sandbox.web.display import DisplayRoutes
from sandbox.web.oauth import OAuthRoutes
from sandbox.web.refusals import on_crash, on_http_error
from sandbox.web.shop_api import ShopApiRoutes
from sandbox.web.shop_consent import ShopConsentRoutes
from sandbox.web.shop_token import ShopTokenRoutes
from sandbox.world import World, build_world


def create_app(settings: Settings) -> Starlette:
    """Return an application with a world of its own; StateFileError if its state file cannot be used."""
    world = build_world(settings)

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        yield
        await world.outbox.close()
        world.store.close()

    refusals = {HTTPException: on_http_error, Exception: on_crash}
    app = Starlette(routes=_routes(world), lifespan=lifespan, exception_handlers=refusals)
    # TikTok's paths end in a slash; one without it is another path there, and must not be mended here.
    app.router.redirect_slashes = False
    app.state.world = world
    return app


def _routes(world: World) -> list[Route]:
    return [
        *AuthorizeRoutes(world).routes(),
        *OAuthRoutes(world).routes(),
        *DisplayRoutes(world).routes(),
        *ShopConsentRoutes(world).routes(),
        *ShopTokenRoutes(world).routes(),
        *ShopApiRoutes(world).routes(),
        *ControlRoutes(world).routes(),
    ]
