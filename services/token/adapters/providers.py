"""The providers this service has an app for."""

from collections.abc import Mapping

from libs.clock import Clock
from libs.tiktok.login_kit import App, LoginKit
from libs.tiktok.shop import ShopApp, ShopClient
from libs.tiktok.transport import Transport
from services.token.adapters.login_kit import LoginKitProvider
from services.token.adapters.login_kit_events import LoginKitEvents
from services.token.adapters.shop_events import ShopEvents
from services.token.adapters.tiktok_shop import TiktokShopProvider
from services.token.core.provider_events import EventReader
from services.token.domain.connection import Provider
from services.token.settings import TokenSettings

# Two of these, the pause between them and the save fit into the lease of a refresh; see core/refresh.py.
TIKTOK_DEADLINE = 15.0  # seconds


def login_kit_provider(settings: TokenSettings, transport: Transport, clock: Clock) -> LoginKitProvider:
    """Return the port to Login Kit."""
    app = App(
        client_key=settings.tiktok_client_key,
        client_secret=settings.tiktok_client_secret,
        redirect_uri=settings.tiktok_redirect_uri,
        authorize_url=settings.tiktok_login_authorize_url,
        api_origin=settings.tiktok_api_base_url,
    )
    login_kit = LoginKit(app=app, transport=transport, deadline=TIKTOK_DEADLINE)
    return LoginKitProvider(app=app, login_kit=login_kit, clock=clock, pkce=settings.tiktok_pkce == "on")


def shop_provider(settings: TokenSettings, transport: Transport, clock: Clock) -> TiktokShopProvider | None:
    """Return the port to TikTok Shop, None without an app for it."""
    if not (settings.tiktok_shop_app_key and settings.tiktok_shop_app_secret and settings.tiktok_shop_service_id):
        return None
    app = ShopApp(
        app_key=settings.tiktok_shop_app_key,
        app_secret=settings.tiktok_shop_app_secret,
        service_id=settings.tiktok_shop_service_id,
        authorize_url=settings.tiktok_shop_authorize_url,
        token_origin=settings.tiktok_shop_token_base_url,
        api_origin=settings.tiktok_shop_api_base_url,
    )
    client = ShopClient(app=app, transport=transport, clock=clock, deadline=TIKTOK_DEADLINE)
    return TiktokShopProvider(app=app, client=client, clock=clock)


def event_readers(settings: TokenSettings) -> Mapping[Provider, EventReader]:
    """Return what verifies and reads the webhooks of each app."""
    login_kit = LoginKitEvents(secret=settings.tiktok_client_secret)
    if not (settings.tiktok_shop_app_key and settings.tiktok_shop_app_secret):
        return {Provider.LOGIN_KIT: login_kit}
    shop = ShopEvents(app_key=settings.tiktok_shop_app_key, secret=settings.tiktok_shop_app_secret)
    return {Provider.LOGIN_KIT: login_kit, Provider.TIKTOK_SHOP: shop}
