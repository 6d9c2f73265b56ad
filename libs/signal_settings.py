"""What every service is told about how it tells of itself: its log, its metrics and its traces."""

from typing import Annotated, Literal, TypeAlias
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, IPvAnyAddress

from libs.rpc.settings import RpcSettings
from libs.statements import Teller, tell_statement

LogLevel: TypeAlias = Literal["trace", "debug", "info", "warn", "error", "fatal"]


def collector(url: str) -> str:
    """Return the address of a collector of traces without a slash at its end; raise ValueError."""
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.username or parts.query:
        raise ValueError("must be http://host:port or https://host:port, without a name, a password or a query")
    return url.rstrip("/")


class SignalSettings(RpcSettings):
    """Every field is the variable of its name in capitals."""

    log_level: LogLevel = "info"
    # Whether statements are written into the log, with the time they took and without values.
    db_logging: bool = False
    # Interface that metrics are served on; whoever can reach it can read them.
    metrics_host: IPvAnyAddress = Field(default="127.0.0.1", validate_default=True)
    # Where spans are sent by OTLP over HTTP; without it there are none.
    otel_exporter_otlp_endpoint: Annotated[str, AfterValidator(collector)] | None = None

    @property
    def statement_teller(self) -> Teller | None:
        """What is told of every statement, if anything is."""
        return tell_statement if self.db_logging else None
