"""What `make run` is told by the environment and by `.env`; everything has a default."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, AliasChoices, Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from libs.database.dsn import Dsn
from libs.rpc.readers import Readers
from libs.secret import Secret
from libs.settings import ServiceSettings
from libs.tiktok.shop_environment import FOREIGN, whole_shop_app

LOOPBACK = ("127.0.0.1", "::1", "localhost")
CALLBACK = "/auth/tiktok/callback"
Port = Annotated[int, Field(ge=1, le=65_535)]


def listen_address(value: str) -> str:
    """Return host:port as given, or raise ValueError."""
    host, _, port = value.rpartition(":")
    if not host or not port.isdecimal() or not 1 <= int(port) <= 65_535:
        raise ValueError("must be host:port, such as 127.0.0.1:50051")
    return value


Listen = Annotated[str, AfterValidator(listen_address)]


def database_address(value: Secret) -> Secret:
    """Return an address that can be read, or raise; the reason never repeats what was written."""
    try:
        dsn = Dsn.parse(value.reveal())
    except ValueError as error:
        raise refused(str(error).removeprefix("DATABASE_URL ")) from None
    if any(not 1 <= int(port) <= 65_535 for port in re.findall(r":(\d+)(?:,|$)", dsn.hosts)):
        raise refused("has no valid port: it must be from 1 to 65535")
    return value


def refused(problem: str) -> PydanticCustomError:
    """Return an error whose text is shown behind the variable's name."""
    return PydanticCustomError("setting", "{problem}", {"problem": problem})


DatabaseAddress = Annotated[Secret, AfterValidator(database_address)]


class LocalSettings(ServiceSettings):
    """Every field is the variable of its name in capitals."""

    foreign = FOREIGN

    stores: int = Field(300, ge=0, le=100_000)
    serve: bool = True
    tokhub_state_dir: Path = Path(".tokhub")

    host: str = "127.0.0.1"
    port: Port = 3000
    token_listen: Listen = "127.0.0.1:50051"
    sync_listen: Listen = "127.0.0.1:50052"
    token_readers: Readers = ()
    sandbox_port: Port = 8400
    token_metrics_port: int = Field(9101, ge=0, le=65_535)
    sync_metrics_port: int = Field(9102, ge=0, le=65_535)

    database_url: DatabaseAddress | None = Field(
        None, validation_alias=AliasChoices("DATABASE_URL", "HP_marketplace_db_ddl")
    )
    tiktok_client_key: str | None = Field(
        None, validation_alias=AliasChoices("TIKTOK_CLIENT_KEY", "TIKTOK_CLIENT_ID"), validate_default=True
    )
    tiktok_client_secret: Secret | None = Field(None, validate_default=True)
    tiktok_redirect_uri: str | None = None
    tiktok_shop_app_key: str | None = Field(
        None, validation_alias=AliasChoices("TIKTOK_SHOP_APP_KEY", "TIKTOK_APP_KEY")
    )
    tiktok_shop_app_secret: Secret | None = Field(
        None, validation_alias=AliasChoices("TIKTOK_SHOP_APP_SECRET", "TIKTOK_APP_SECRET")
    )
    tiktok_shop_service_id: str | None = Field(None, validate_default=True)
    sandbox_accounts: int = Field(300, ge=0, le=100_000)
    rate_limit_admin_per_minute: int = Field(100, ge=1, le=1_000_000)
    rate_limit_oauth_per_minute: int = Field(10, ge=1, le=1_000_000)

    @field_validator("tiktok_client_secret")
    @classmethod
    def both_or_none(cls, value: Secret | None, info: ValidationInfo) -> Secret | None:
        """Refuse half of an app's credentials."""
        if (value is None) != (info.data.get("tiktok_client_key") is None):
            raise ValueError("set TIKTOK_CLIENT_KEY and TIKTOK_CLIENT_SECRET for the real TikTok, or neither")
        return value

    @field_validator("tiktok_shop_app_key")
    @classmethod
    def beside_login_kit(cls, value: str | None, info: ValidationInfo) -> str | None:
        """Refuse a Shop app of the real TikTok beside a Login Kit app of the sandbox."""
        if info.data.get("tiktok_client_key") is None:
            raise ValueError(
                "set TIKTOK_CLIENT_KEY and TIKTOK_CLIENT_SECRET too: "
                "the sandbox stands in for Login Kit and TikTok Shop, or for neither"
            )
        return value

    _shop_app_is_whole = field_validator("tiktok_shop_service_id")(whole_shop_app)

    @property
    def sandboxed(self) -> bool:
        """Whether the sandbox stands in for TikTok."""
        return self.tiktok_client_key is None

    @property
    def state(self) -> Path:
        """The state directory; that of the real TikTok is apart, for the sandbox's tokens are worth nothing there."""
        directory = self.tokhub_state_dir.absolute()
        return directory if self.sandboxed else directory / "live"

    @property
    def gateway_url(self) -> str:
        """Where the gateway is reached from this machine."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def sandbox_url(self) -> str:
        """Where the sandbox is reached."""
        return f"http://127.0.0.1:{self.sandbox_port}"

    @property
    def redirect_uri(self) -> str:
        """Where TikTok sends people back."""
        return self.tiktok_redirect_uri or f"{self.gateway_url}{CALLBACK}"

    @property
    def token_target(self) -> str:
        """Where the token service is reached from this machine."""
        return on_this_machine(self.token_listen)

    @property
    def sync_target(self) -> str:
        """Where the sync service is reached from this machine."""
        return on_this_machine(self.sync_listen)

    @property
    def hosts(self) -> Mapping[str, Sequence[str]]:
        """Where each service answers calls of the others; the gateway and readers of tokens answer none."""
        targets = {"token": self.token_target, "sync": self.sync_target}
        callers = dict.fromkeys((*self.token_readers, "gateway"), ())
        return callers | {name: hosts_of(target) for name, target in targets.items()}

    @property
    def ports(self) -> Mapping[str, int]:
        """Every port that will be listened on, by the setting that moves it."""
        ports = {
            "PORT": self.port,
            "TOKEN_LISTEN": port_of(self.token_listen),
            "SYNC_LISTEN": port_of(self.sync_listen),
            "TOKEN_METRICS_PORT": self.token_metrics_port,
            "SYNC_METRICS_PORT": self.sync_metrics_port,
            **({"SANDBOX_PORT": self.sandbox_port} if self.sandboxed else {}),
        }
        return {name: port for name, port in ports.items() if port}


def hosts_of(target: str) -> Sequence[str]:
    """Return the hosts by which this machine may call a target."""
    return tuple(dict.fromkeys((*LOOPBACK, target.rpartition(":")[0].strip("[]"))))


def port_of(listen: str) -> int:
    """Return the port of host:port."""
    return int(listen.rpartition(":")[2])


def on_this_machine(listen: str) -> str:
    """Return the address that reaches a listener which may listen on every interface."""
    host, _, port = listen.rpartition(":")
    return f"127.0.0.1:{port}" if host in {"0.0.0.0", "[::]"} else listen  # noqa: S104 - recognised, not bound
