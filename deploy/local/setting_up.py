"""What `make run` does once everything is up: demo stores in, connected, synced."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import aiohttp
from rich.console import Console
from tokhub.sync.v1 import sync_pb2_grpc

from deploy.local.onboarding import CONNECTED, Admin, onboard
from deploy.local.person import Person
from deploy.local.report import SetUp
from deploy.local.settings import LocalSettings
from deploy.local.syncing import Syncing, SyncResult
from libs.clock import SystemClock
from libs.rpc.client import open_channel
from libs.rpc.tls import Certificates
from libs.runs.display import open_display


@dataclass(frozen=True, kw_only=True)
class Demonstration:
    """Sets up as many stores as asked for and syncs everything that is connected."""

    settings: LocalSettings
    admin_key: Path
    operator: Certificates
    console: Console

    async def run(self) -> SetUp:
        """Return how it went."""
        async with aiohttp.TCPConnector(limit=64) as connector, aiohttp.ClientSession(connector=connector) as session:
            key = self.admin_key.read_text(encoding="utf-8").strip()
            admin = Admin(session=session, gateway=self.settings.gateway_url, key=key)
            not_onboarded = await self._onboard(admin, connector)
            statuses = await admin.statuses()
        connected = sum(status == CONNECTED for status in statuses.values())
        return SetUp(connected=connected, not_onboarded=not_onboarded, sync=await self._sync())

    async def _onboard(self, admin: Admin, connector: aiohttp.BaseConnector) -> Mapping[str, str]:
        if not self.settings.sandboxed:
            return {}
        self.console.print(f"Stores: {self.settings.stores}, connected through the sandbox's consent pages")
        person = Person(gateway=self.settings.gateway_url, connector=connector)
        with open_display(self.console) as display:
            came = await onboard(admin, person, self.settings.stores, display)
        for code in sorted(came.without_account):
            self.console.print(f"{code} stays without an account: its own is connected to another store or user by now")
        return came.failures

    async def _sync(self) -> SyncResult:
        self.console.print("Sync: tokens, accounts and videos of all connected stores")
        async with open_channel(self.settings.sync_target, certificates=self.operator) as channel:
            stub = sync_pb2_grpc.SyncServiceStub(channel)
            with open_display(self.console) as display:
                return await Syncing(stub=stub, display=display, clock=SystemClock()).sync_all()
