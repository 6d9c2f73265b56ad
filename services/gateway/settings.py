"""What the gateway is told by its environment."""

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from libs.clock import Clock
from libs.rpc.listen import Target
from libs.secret import Secret
from libs.settings import parts_of
from libs.signal_settings import SignalSettings
from libs.tiktok.address import Url
from services.gateway.addresses import Network, WrongNetwork, parse_networks, parsed, subscriber
from services.gateway.auth import AdminKey, Role, WrongKey, admin_key, parse_keys
from services.gateway.key_sets import KeySet
from services.gateway.sessions import LONGEST, SessionLife
from services.gateway.user_tokens import Keys, NoUsers, SharedSecret, Users, UserTokens

# HS256 is as strong as its secret: one shorter than its digest can be guessed offline from any token.
MIN_JWT_SECRET = 32


def refuse(problem: str) -> PydanticCustomError:
    """Return an error whose text is shown behind the variable's name."""
    return PydanticCustomError("setting", "{problem}", {"problem": problem})


def named_keys(value: object) -> object:
    """Return the keys of ADMIN_API_KEYS."""
    try:
        return parse_keys(value) if isinstance(value, str) else value
    except WrongKey as error:
        raise refuse(str(error)) from None


def networks(value: object) -> object:
    """Return the networks of TRUSTED_PROXIES."""
    try:
        return parse_networks(value) if isinstance(value, str) else value
    except WrongNetwork as error:
        raise refuse(str(error)) from None


def subscribers(value: object) -> object:
    """Return what the addresses of AUTH_UNLOCK are counted by."""
    if not isinstance(value, str):
        return value
    addresses = [parsed(entry) for entry in parts_of(value)]
    if None in addresses:
        raise refuse("every entry must be an address such as 192.0.2.7")
    return tuple(subscriber(address) for address in addresses if address)


def origins(value: object) -> object:
    """Return the origins of a comma-separated list."""
    if not isinstance(value, str):
        return value
    found = parts_of(value)
    for origin in found:
        parts = urlsplit(origin)
        if f"{parts.scheme}://{parts.netloc}" != origin or parts.scheme not in {"http", "https"} or not parts.netloc:
            raise refuse("every origin must be scheme://host[:port]; * is not accepted")
    return found


class GatewaySettings(SignalSettings):
    """The gateway's settings; defaults suit one machine."""

    host: str = "127.0.0.1"
    port: int = Field(3000, ge=0, le=65_535)
    # Metrics are at PORT too, for this machine only; with a port of their own they are on METRICS_HOST.
    gateway_metrics_port: int = Field(0, ge=0, le=65_535)
    token_target: Target = Field("127.0.0.1:50051")
    sync_target: Target = Field("127.0.0.1:50052")
    database_url: Secret | None = None
    # How many gateways take part in the work; one that cannot reach the others' counts gives out its share alone.
    gateway_replicas: int = Field(1, ge=1, le=1_000)
    admin_api_keys: Annotated[tuple[AdminKey, ...], BeforeValidator(named_keys)] = ()
    admin_api_key: Secret | None = Field(None, validate_default=True)
    user_jwt_secret: Secret | None = None
    user_jwks_url: Url | None = None
    user_jwt_issuer: str | None = None
    user_jwt_audience: str | None = None
    cors_origin: Annotated[tuple[str, ...], BeforeValidator(origins)] = ()
    trusted_proxies: Annotated[tuple[Network, ...], BeforeValidator(networks)] = ()
    rate_limit_admin_per_minute: int = Field(100, ge=1, le=1_000_000)
    rate_limit_oauth_per_minute: int = Field(10, ge=1, le=1_000_000)
    auth_max_failures: int = Field(5, ge=1, le=1_000_000)
    auth_block_seconds: float = Field(900, ge=1, le=86_400)
    # Addresses that are let in again at the start, whatever their lockout.
    auth_unlock: Annotated[tuple[str, ...], BeforeValidator(subscribers)] = ()
    # Its host is the one whose cookies come back from TikTok.
    tiktok_redirect_uri: Url = "http://127.0.0.1:3000/auth/tiktok/callback"
    # How long who signed in to the console may stay away, and stay at most.
    console_idle_seconds: float = Field(43_200, ge=1, le=LONGEST)
    console_session_seconds: float = Field(604_800, ge=1, le=LONGEST)

    @field_validator("admin_api_key")
    @classmethod
    def some_key(cls, value: Secret | None, info: ValidationInfo) -> Secret | None:
        """Refuse a start without any key, and a key too weak to be one."""
        try:
            if value:
                admin_key("admin", Role.ADMIN, value.reveal())
        except WrongKey as error:
            raise refuse(str(error)) from None
        if not value and not info.data.get("admin_api_keys", (True,)):
            raise refuse("set it (or ADMIN_API_KEYS) to a random key of at least 32 characters")
        return value

    @field_validator("user_jwt_secret")
    @classmethod
    def strong_secret(cls, value: Secret | None) -> Secret | None:
        """Refuse a secret that can be guessed."""
        if value and len(value.reveal().encode()) < MIN_JWT_SECRET:
            raise refuse(f"must have at least {MIN_JWT_SECRET} characters")
        return value

    @field_validator("user_jwks_url")
    @classmethod
    def one_kind_of_key(cls, value: str | None, info: ValidationInfo) -> str | None:
        """Refuse both kinds of keys: whose tokens count would be anybody's guess."""
        if value and info.data.get("user_jwt_secret"):
            raise refuse("set USER_JWT_SECRET or USER_JWKS_URL, not both")
        return value

    def users(self, clock: Clock) -> Users:
        """Return what knows users by their tokens."""
        keys: Keys
        if self.user_jwt_secret:
            keys = SharedSecret(self.user_jwt_secret)
        elif self.user_jwks_url:
            keys = KeySet(self.user_jwks_url, clock=clock)
        else:
            return NoUsers()
        return UserTokens(keys=keys, issuer=self.user_jwt_issuer, audience=self.user_jwt_audience)

    @property
    def keys(self) -> tuple[AdminKey, ...]:
        """All keys that open the operators' routes."""
        single = self.admin_api_key
        return (*self.admin_api_keys, *([admin_key("admin", Role.ADMIN, single.reveal())] if single else []))

    @property
    def session_life(self) -> SessionLife:
        """How long sessions of the console last."""
        return SessionLife(idle=self.console_idle_seconds, longest=self.console_session_seconds)
