"""What a service that records calls is told: the keys of its chain, and where and how long it keeps what."""

from pathlib import Path

from pydantic import Field, ValidationInfo, field_validator

from libs.audit.chain import ChainKeys
from libs.secret import Secret
from libs.signal_settings import SignalSettings
from libs.vault.ring import WrongKeys, read_keys


class RecordingSettings(SignalSettings):
    """Every field is the variable of its name in capitals."""

    audit_keys: Secret | None = Field(default=None, validate_default=True)
    # Where the newest checkpoint is kept, out of the database's reach.
    audit_dir: Path = Path(".tokhub/audit")
    # 0 keeps recorded calls for ever.
    audit_days: int = Field(default=730, ge=0, le=36_500)

    @field_validator("audit_keys")
    @classmethod
    def usable(cls, value: Secret | None, info: ValidationInfo) -> Secret | None:
        """Refuse keys that are none, and to record calls without any."""
        if value is None and info.data.get("tls_cert"):
            raise ValueError(
                "must be set where TLS_CERT is, for calls are recorded: make one with `echo k1:$(openssl rand -hex 32)`"
            )
        try:
            read_keys(value)
        except WrongKeys as error:
            raise ValueError(str(error)) from None
        return value

    def chain_keys(self, trail: str) -> ChainKeys:
        """Return the keys of one trail."""
        return ChainKeys(read_keys(self.audit_keys), trail)
