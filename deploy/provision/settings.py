"""What the provision of a suite is told by its environment."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator

from deploy.local.settings import LOOPBACK
from libs.rpc.readers import Readers
from libs.settings import ServiceSettings, listed

Hosts = Annotated[tuple[str, ...], BeforeValidator(listed)]


class ProvisionSettings(ServiceSettings):
    """Every field is the variable of its name in capitals."""

    # What nobody but this program reads: the authority's key, and all secrets.
    provision_authority: Path = Path("/var/lib/tokhub/authority")
    # A directory for each process, with what is its own.
    provision_handed: Path = Path("/var/lib/tokhub/handed")
    # A file that is made when everything has been handed out, for whoever waits for that.
    provision_ready: Path | None = None
    # The database's administrator; the password is added to it.
    provision_database: str = "postgresql://tokhub@postgres:5432/tokhub"
    # The names by which others call these.
    token_hosts: Hosts = ("token",)
    sync_hosts: Hosts = ("sync",)
    sandbox_hosts: Hosts = ("sandbox",)
    token_readers: Readers = ()

    @property
    def hosts(self) -> Mapping[str, Sequence[str]]:
        """Return who gets a certificate, and where they answer calls."""
        servers = {"token": self.token_hosts, "sync": self.sync_hosts, "sandbox": self.sandbox_hosts}
        callers: dict[str, Sequence[str]] = dict.fromkeys((*self.token_readers, "gateway"), ())
        return callers | {name: (*LOOPBACK, *hosts) for name, hosts in servers.items()}
