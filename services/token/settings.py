"""What the token service reads from its environment."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, AliasChoices, BeforeValidator, Field, field_validator

from libs.audit.settings import RecordingSettings
from libs.rpc.listen import Listen
from libs.rpc.readers import Readers
from libs.secret import Secret
from libs.settings import listed
from libs.tiktok.address import Origin, Url
from libs.tiktok.shop_environment import FOREIGN, whole_shop_app


def long_enough(secret: Secret) -> Secret:
    """Return a secret that cannot be guessed; raise ValueError."""
    if len(secret.reveal()) < 32:
        raise ValueError("must be at least 32 characters: make one with `openssl rand -hex 32`")
    return secret


def redis_address(url: Secret) -> Secret:
    """Return the address of a Redis; raise ValueError."""
    if not url.reveal().startswith(("redis://", "rediss://", "unix://")):
        raise ValueError("must be redis://host:port/number, rediss:// or unix://")
    return url


HardToGuess = Annotated[Secret, AfterValidator(long_enough)]


class TokenSettings(RecordingSettings):
    """Every field is the variable of its name in capitals; times are in seconds."""

    foreign = FOREIGN

    database_url: Secret
    token_listen: Listen = "127.0.0.1:50051"
    # Further services, by the names in their certificates, that may read tokens.
    token_readers: Readers = ()
    token_metrics_port: int = Field(default=9101, ge=0, le=65535)
    db_pool_size: int = Field(default=20, ge=2, le=1000)
    db_pool_min: int = Field(default=2, ge=0, le=1000)
    refresh_concurrency: int = Field(default=20, ge=1, le=200)
    token_events_days: int = Field(default=90, ge=1, le=36_500)

    tiktok_client_key: str = Field(min_length=1, validation_alias=AliasChoices("TIKTOK_CLIENT_KEY", "TIKTOK_CLIENT_ID"))
    tiktok_client_secret: Secret
    tiktok_redirect_uri: Url
    # Further addresses of applications that take the browser back and hand code and state on.
    tiktok_allowed_redirect_uris: Annotated[Sequence[Url], BeforeValidator(listed)] = ()
    tiktok_login_authorize_url: Url = "https://www.tiktok.com/v2/auth/authorize/"
    tiktok_api_base_url: Origin = "https://open.tiktokapis.com"
    tiktok_pkce: Literal["on", "off"] = "on"

    tiktok_shop_app_key: str | None = Field(
        default=None, validation_alias=AliasChoices("TIKTOK_SHOP_APP_KEY", "TIKTOK_APP_KEY")
    )
    tiktok_shop_app_secret: Secret | None = Field(
        default=None, validation_alias=AliasChoices("TIKTOK_SHOP_APP_SECRET", "TIKTOK_APP_SECRET")
    )
    tiktok_shop_service_id: str | None = Field(default=None, validate_default=True)
    tiktok_shop_authorize_url: Url = "https://services.tiktokshop.com/open/authorize"
    tiktok_shop_token_base_url: Origin = "https://auth.tiktok-shops.com"
    tiktok_shop_api_base_url: Origin = "https://open-api.tiktokglobalshop.com"

    refresh_ahead_concurrency: int = Field(default=4, ge=0, le=100)
    journal_dir: Path = Path(".tokhub/journal")
    journal_mode: Literal["required", "best_effort", "off"] = "required"
    stop_grace_seconds: float = Field(default=60, ge=0, le=86_400)

    redis_url: Annotated[Secret, AfterValidator(redis_address)] | None = None

    token_enc_key: Secret | None = None
    token_enc_keys: Secret | None = None
    state_secret: HardToGuess
    state_secrets_accepted: Annotated[Sequence[HardToGuess], BeforeValidator(listed)] = ()
    oauth_state_ttl_seconds: int = Field(default=600, ge=10, le=86_400)

    _shop_app_is_whole = field_validator("tiktok_shop_service_id")(whole_shop_app)

    @property
    def state_ring(self) -> Sequence[Secret]:
        """The secrets whose links are good, first the one that signs."""
        return (self.state_secret, *self.state_secrets_accepted)
