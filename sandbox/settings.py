"""Everything that can be set: what is fixed at the start, and the switches that may change while it runs."""

from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from sandbox.pkce import Base64url

PREFIX = "SANDBOX_"
Milliseconds = Annotated[float, Field(ge=0, le=600_000)]
Seconds = Annotated[float, Field(gt=0, le=100 * 366 * 86_400)]


def _split_commas(value: Any) -> Any:
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


def _loopback_only(value: str) -> str:
    parts = urlsplit(value)
    if value and not (parts.scheme == "http" and _is_loopback(parts.hostname or "")):
        raise ValueError("webhooks go to an http URL on 127.0.0.1, [::1] or localhost only")
    return value


def _absolute(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname or not value.isprintable() or set("# ") & set(value):
        raise ValueError("people are sent back to an absolute http or https URL without a fragment")
    return value


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


ReturnAddress = Annotated[str, AfterValidator(_absolute)]


class Switches(BaseModel):
    """How this TikTok behaves where the real one differs by age or is undocumented; patchable while it runs."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    redirect_uris: Annotated[tuple[ReturnAddress, ...], NoDecode] = (
        "http://127.0.0.1:3000/auth/tiktok/callback",
        "http://localhost:3000/auth/tiktok/callback",
    )
    app_type: Literal["web", "desktop"] = "web"
    pkce_base64url: Literal["by_app_type", "reject", "accept", "ignore"] = "by_app_type"
    code_ttl_seconds: Seconds = 300
    oauth_error_status: Literal["200", "4xx"] = "200"
    refresh_rotation: Literal["strict", "same", "grace"] = "strict"
    refresh_grace_seconds: Annotated[float, Field(ge=0, le=100 * 366 * 86_400)] = 60
    reuse_revokes_family: bool = False
    access_ttl_seconds: Seconds = 7_200
    refresh_ttl_seconds: Seconds = 15_552_000
    refresh_life: Literal["fixed", "sliding"] = "fixed"
    display_missing_scope: Literal["scope_not_authorized", "scope_permission_missed"] = "scope_not_authorized"
    display_error_status: Literal["table", "200"] = "table"
    rate_limit: Annotated[int, Field(ge=1, le=1_000_000)] = 600
    rate_window_seconds: Seconds = 60
    rate_scope: Literal["app", "account"] = "app"
    retry_after: Literal["absent", "present"] = "absent"
    latency_token_ms: Milliseconds = 0
    latency_user_ms: Milliseconds = 0
    latency_video_ms: Milliseconds = 0
    latency_jitter: Annotated[float, Field(ge=0, le=1)] = 0.3

    shop_redirect_uri: ReturnAddress = "http://127.0.0.1:3000/api/v1/tiktok/auth/callback"
    shop_callback: Literal["plain", "extras", "app_store"] = "plain"
    shop_cancel: Literal["page", "redirect"] = "page"
    shop_code_ttl_seconds: Seconds = 1_800
    shop_scopes: Annotated[tuple[str, ...], NoDecode] = ("seller.authorization.info", "data.shop_analytics.public.read")
    shop_refresh_rotation: Literal["strict", "same", "grace"] = "strict"
    shop_refresh_grace_seconds: Annotated[float, Field(ge=0, le=100 * 366 * 86_400)] = 60
    shop_reuse_revokes_family: bool = False
    shop_access_ttl_seconds: Seconds = 604_800
    shop_refresh_ttl_seconds: Seconds = 31_536_000
    shop_refresh_expiry: Literal["duration", "2123"] = "duration"
    shop_unix_time: Literal["client", "sandbox"] = "client"
    shop_deauthorized: Literal["36009004", "105002"] = "36009004"
    shop_rate_limit: Annotated[int, Field(ge=1, le=1_000_000)] = 50
    shop_rate_window_seconds: Seconds = 1
    shop_retry_after: Literal["absent", "present"] = "present"
    latency_shop_ms: Milliseconds = 0

    webhook_url: str = ""
    shop_webhook_url: str = ""

    _stay_here = field_validator("webhook_url", "shop_webhook_url")(_loopback_only)
    _split_lists = field_validator("redirect_uris", "shop_scopes", mode="before")(_split_commas)

    @property
    def base64url(self) -> Base64url:
        """What an RFC 7636 challenge is worth: libraries that send one work on the web, and nowhere else."""
        if self.pkce_base64url != "by_app_type":
            return self.pkce_base64url
        return "accept" if self.app_type == "web" else "reject"

    def patched(self, changes: dict[str, Any]) -> "Switches":
        """Return these switches with `changes` applied; ValidationError if one does not fit."""
        return Switches.model_validate({**self.model_dump(), **changes})


class _SwitchesFromEnvironment(Switches, BaseSettings):
    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="ignore", frozen=True)


def _secret_in(path: Path, name: str) -> SecretStr:
    try:
        return SecretStr(path.read_text(encoding="utf-8").strip())
    except OSError as error:
        raise PydanticCustomError(name, f"the file cannot be read: {error.strerror}") from None


class Settings(BaseSettings):
    """What is fixed when the sandbox starts."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="ignore", frozen=True)

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65_535)] = 8400
    # A second port that speaks TLS, for programs that send tokens to https alone.
    tls_port: Annotated[int, Field(ge=0, le=65_535)] = 8443
    tls_cert: Path | None = None
    tls_key: Path | None = None
    client_key: Annotated[str, Field(min_length=1)] = "sbawtokhubsandbox"
    client_secret: SecretStr = SecretStr("CNRYsandboxclientsecret")
    client_secret_file: Path | None = None
    shop_app_key: Annotated[str, Field(min_length=1)] = "6sandboxshop"
    shop_app_secret: SecretStr = SecretStr("CNRYsandboxshopsecret")
    shop_app_secret_file: Path | None = None
    shop_service_id: Annotated[str, Field(min_length=1)] = "7400000000000000001"
    accounts: Annotated[int, Field(ge=0, le=100_000)] = 300
    sellers: Annotated[int, Field(ge=0, le=100_000)] = 8
    creators: Annotated[int, Field(ge=0, le=1_000)] = 2
    videos: Annotated[int, Field(ge=0, le=10_000)] | None = None
    seed: int = 1
    time_scale: Annotated[float, Field(gt=0, le=1_000_000)] = 1.0
    state_file: Path | None = None
    ledger_events: Annotated[int, Field(ge=1, le=10_000_000)] = 20_000
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    switches: Switches = Field(default_factory=_SwitchesFromEnvironment)

    @model_validator(mode="after")
    def _read_secret_files(self) -> Self:
        for name in ("client_secret", "shop_app_secret"):
            path: Path | None = getattr(self, f"{name}_file")
            if path is not None:
                object.__setattr__(self, name, _secret_in(path, f"{name}_file"))
            if not getattr(self, name).get_secret_value():
                raise PydanticCustomError(name, "it is empty, and no client can know an empty secret")
        return self

    @model_validator(mode="after")
    def _both_or_none(self) -> Self:
        if (self.tls_cert is None) != (self.tls_key is None):
            raise PydanticCustomError("tls_key", "set SANDBOX_TLS_CERT and SANDBOX_TLS_KEY, or neither")
        return self


class InvalidSettingError(Exception):
    """An environment variable does not fit; the text is one line that names it and never its value."""


def load_settings() -> Settings:
    """Return the settings of the environment; InvalidSettingError names the first variable that does not fit."""
    try:
        return Settings(switches=_SwitchesFromEnvironment())
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        name = PREFIX + str((first["loc"] or (first["type"],))[0]).upper()
        raise InvalidSettingError(f"{name} does not fit: {first['msg']}") from None
