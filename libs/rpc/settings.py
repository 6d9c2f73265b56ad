"""What every process that serves or calls gRPC is told: the certificates that say who it is."""

from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from libs.clock import Clock
from libs.rpc.tls import Certificates, TlsFiles
from libs.settings import ServiceSettings

PEM = "-----BEGIN"


def a_path(value: object) -> object:
    """Return the value; raise for the content of a file, which nobody could read again when it changes."""
    if isinstance(value, str) and value.lstrip().startswith(PEM):
        problem = "must be the path of a PEM file, not what is in it: set the variable without _FILE to the path"
        raise PydanticCustomError("setting", "{problem}", {"problem": problem})
    return value


PemFile = Annotated[Path, BeforeValidator(a_path)]


class RpcSettings(ServiceSettings):
    """Every field is the variable of its name in capitals; all three or none."""

    tls_ca: PemFile | None = None
    tls_cert: PemFile | None = None
    tls_key: PemFile | None = Field(default=None, validate_default=True)

    @field_validator("tls_key")
    @classmethod
    def whole(cls, value: Path | None, info: ValidationInfo) -> Path | None:
        """Refuse some of the three."""
        given = [value, *(info.data.get(name) for name in ("tls_ca", "tls_cert"))]
        if any(given) and not all(given):
            raise ValueError("set TLS_CA, TLS_CERT and TLS_KEY, or none of them")
        return value

    def certificates(self, clock: Clock) -> Certificates | None:
        """Return the certificates, None when there are none; raise ServerMisconfig for files that cannot be used."""
        if self.tls_ca is None or self.tls_cert is None or self.tls_key is None:
            return None
        return Certificates(TlsFiles(ca=self.tls_ca, certificate=self.tls_cert, key=self.tls_key), clock)
