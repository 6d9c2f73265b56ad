"""Certificates of a suite on one machine, in files of their owner alone: made at the first start, renewed in time."""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from deploy.local.authority import Authority, Issued, names_of
from libs.clock import Clock
from libs.private_file import write_private
from libs.rpc.tls import Certificates, TlsFiles

log = logging.getLogger("deploy.local")

AUTHORITY_LIFE = timedelta(days=3650)
LIFE = timedelta(days=30)
# What is left of a life when it is time for a new one.
RENEWED = timedelta(days=10)
RENEW_EVERY = 3_600.0  # seconds between looks
AUTHORITY, OPERATOR = "ca", "operator"


@dataclass(frozen=True, kw_only=True)
class Identities:
    """Who is part of the suite, by the names of their files; services have hosts where they answer calls."""

    directory: Path
    hosts: Mapping[str, Sequence[str]]
    clock: Clock

    def files(self, name: str) -> TlsFiles:
        """Return the files of a service, or of the operator."""
        return TlsFiles(ca=self._certificate(AUTHORITY), certificate=self._certificate(name), key=self._key(name))

    def operator(self) -> Certificates:
        """Return what a person at this machine calls with."""
        return Certificates(self.files(OPERATOR), self.clock)

    def renew(self) -> None:
        """Make what is missing, cannot be read, or ends soon; what is good stays as it is."""
        self.directory.mkdir(mode=0o700, exist_ok=True)
        now = self.clock.now()
        authority = self._authority(now)
        for name, hosts in {**self.hosts, OPERATOR: ()}.items():
            who = "operator/local" if name == OPERATOR else f"svc/{name}"
            names = names_of(f"spiffe://tokhub/{who}", hosts)
            with suppress(OSError, ValueError):
                if authority.stands_for(self._read(name), names, until=now + RENEWED):
                    continue
            self._write(name, authority.issue(names, now=now, life=LIFE))

    @asynccontextmanager
    async def kept(self) -> AsyncIterator[None]:
        """Renew in time while the context is open; who has the files reads them again."""
        task = asyncio.create_task(self._keep(), name="renew certificates")
        try:
            yield
        finally:
            task.cancel()

    async def _keep(self) -> None:
        while True:
            await self.clock.sleep(RENEW_EVERY)
            try:
                self.renew()
            except OSError as error:
                # What is there is good for days yet: the next look may find room on the disk.
                log.warning("Certificates could not be renewed", extra={"fields": {"error": error.strerror}})

    def _authority(self, now: datetime) -> Authority:
        with suppress(OSError, ValueError):
            authority = Authority.load(self._read(AUTHORITY))
            if authority.ends - now > LIFE:
                return authority
        authority = Authority.create(now=now, life=AUTHORITY_LIFE)
        self._write(AUTHORITY, authority.written())
        return authority

    def _read(self, name: str) -> Issued:
        return Issued(certificate=self._certificate(name).read_text("ascii"), key=self._key(name).read_text("ascii"))

    def _write(self, name: str, issued: Issued) -> None:
        write_private(self._key(name), issued.key)
        write_private(self._certificate(name), issued.certificate)

    def _certificate(self, name: str) -> Path:
        return self.directory / f"{name}.pem"

    def _key(self, name: str) -> Path:
        return self.directory / f"{name}.key"
