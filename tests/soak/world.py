"""The suite as it is soaked: two token and two sync services, and a gateway, at addresses that stay."""

from collections.abc import Sequence
from dataclasses import dataclass

from tests.faults.gateway_processes import GatewayReplica
from tests.faults.lab import Lab, free_port
from tests.faults.processes import Replica, ServiceProcess
from tests.faults.sync_processes import SyncReplica

TOKEN_SECONDS = 60
# What is the sandbox's own: lives of a minute, and no limit that the load could meet.
SANDBOX = {"SANDBOX_ACCESS_TTL_SECONDS": str(TOKEN_SECONDS), "SANDBOX_LEDGER_EVENTS": "1000"}
QUIET = {"LOG_LEVEL": "info"}
CONNECT_AT_ONCE = 8


@dataclass(frozen=True, kw_only=True)
class World:
    """What is under load."""

    lab: Lab
    tokens: Sequence[Replica]
    syncs: Sequence[SyncReplica]
    gateway: GatewayReplica
    stores: Sequence[str]

    @property
    def processes(self) -> Sequence[ServiceProcess]:
        """All of the suite's processes."""
        return (*self.tokens, *self.syncs, self.gateway)


async def build(lab: Lab, stores: int) -> World:
    """Start everything, and connect the stores."""
    ahead = {"REFRESH_AHEAD_CONCURRENCY": "4"}
    tokens = [
        await lab.replica(name, TOKEN_LISTEN=f"127.0.0.1:{free_port()}", **ahead, **QUIET)
        for name in ("token-a", "token-b")
    ]
    syncs = [
        await lab.sync(name, SYNC_LISTEN=f"127.0.0.1:{free_port()}", TOKEN_TARGET=token.address, **QUIET)
        for name, token in zip(("sync-a", "sync-b"), tokens, strict=True)
    ]
    gateway = await lab.gateway(PORT=free_port(), **QUIET)
    codes = [f"shop_{number}" for number in range(1, stores + 1)]
    await syncs[0].create_stores(*codes)
    await lab.connect(tokens[0], *codes)
    return World(lab=lab, tokens=tokens, syncs=syncs, gateway=gateway, stores=codes)
