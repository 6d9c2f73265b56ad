"""Where the services are and who calls: the environment, over `.env`, over what a suite on this machine left."""

from pathlib import Path

from libs.rpc.client_file import left_in
from libs.rpc.listen import Target
from libs.rpc.settings import RpcSettings
from libs.settings import parse, read_environment

STATE = ".tokhub"
CERTIFICATE = ("TLS_CA", "TLS_CERT", "TLS_KEY")


class ClientSettings(RpcSettings):
    """Every field is the variable of its name in capitals."""

    token_target: Target = "127.0.0.1:50051"
    sync_target: Target = "127.0.0.1:50052"


def environment(directory: Path) -> dict[str, str]:
    """Return the variables that hold in a directory; a certificate that is given is not mixed with one left there."""
    given = {name: value for name, value in read_environment(directory).items() if value}
    left = left_in(directory / given.get("TOKHUB_STATE_DIR", STATE))
    if any(name in given for name in CERTIFICATE):
        left = {name: value for name, value in left.items() if name not in CERTIFICATE}
    return {**left, **given}


def client_settings() -> ClientSettings:
    """Return the settings; raise WrongSetting."""
    return parse(ClientSettings, environment(Path.cwd()))
