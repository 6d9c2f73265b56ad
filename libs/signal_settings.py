"""What every service is told about how it tells of itself: its log and its metrics."""

from typing import Literal, TypeAlias

from pydantic import Field, IPvAnyAddress

from libs.rpc.settings import RpcSettings

LogLevel: TypeAlias = Literal["trace", "debug", "info", "warn", "error", "fatal"]


class SignalSettings(RpcSettings):
    """Every field is the variable of its name in capitals."""

    log_level: LogLevel = "info"
    # Interface that metrics are served on; whoever can reach it can read them.
    metrics_host: IPvAnyAddress = Field(default="127.0.0.1", validate_default=True)
