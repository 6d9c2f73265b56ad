"""Tells a person how the set-up went, what to open and what to try."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from tokhub.sync.v1 import sync_pb2

from deploy.local.programs import Suite
from deploy.local.syncing import SyncResult

# As the operator, whose certificate lies in $T.
GRPCURL = "grpcurl -cacert $T/ca.pem -cert $T/operator.pem -key $T/operator.key"
BUF = ".venv/bin/buf curl --protocol grpc --cacert $T/ca.pem --cert $T/operator.pem --key $T/operator.key"


@dataclass(frozen=True, kw_only=True)
class SetUp:
    """What came out of connecting and syncing."""

    connected: int
    not_onboarded: Mapping[str, str]
    sync: SyncResult

    @property
    def failures(self) -> Mapping[str, str]:
        """Why stores could not be connected or synced, by code."""
        return {**self.sync.failures, **self.not_onboarded}

    @property
    def failed(self) -> int:
        """Stores that could not be connected, and those whose sync failed."""
        return len(self.not_onboarded) + self.sync.progress.failed

    @property
    def good(self) -> bool:
        """Whether everything was done."""
        return not self.failed and self.sync.progress.state == sync_pb2.RUN_STATE_SUCCEEDED

    def line(self) -> str:
        """Return the summary in one line."""
        progress = self.sync.progress
        return (
            f"{self.connected} stores connected, {progress.succeeded} synced, "
            f"{progress.videos} videos, {self.failed} failed"
        )


def show_next(console: Console, suite: Suite, admin_key: Path) -> None:
    """Print what to open and what to try."""
    settings, state, tls = suite.settings, shortest(suite.settings.state), shortest(suite.identities.directory)
    url, sync, token = settings.gateway_url, settings.sync_target, settings.token_target
    header = '-H "X-API-KEY: $KEY"'
    run = """'{"job":"JOB_ALL","all":{}}'"""
    sandbox = f"  sandbox   {settings.sandbox_url}/sandbox/\n" if settings.sandboxed else ""
    body = """'{"store_code":"my_store","store_name":"My store","pic_name":"Me"}'"""
    store, hint = ("store_0001", "   (choose store_0001)") if settings.sandboxed else ("my_store", "")
    console.print(
        f"""
Open
  console   {url}/console
  API       {url}/docs
  connect   {url}/connect/tiktok?store_code={store}{hint}
  health    {url}/health
{sandbox}
Try
  .venv/bin/tokhub stores list
  .venv/bin/tokhub --help
  KEY=$(cat {shortest(admin_key)})
  curl {header} {url}/admin/stores
  curl {header} -H 'Content-Type: application/json' -d {body} {url}/admin/stores
  curl {header} '{url}/admin/sync/logs?limit=5'
  curl {header} -H 'Accept: text/event-stream' -X POST {url}/admin/sync/run
  T={tls}
  {GRPCURL} {token} list
  {GRPCURL} -d {run} {sync} tokhub.sync.v1.SyncService/RunSync
  {BUF} -d {run} https://{sync}/tokhub.sync.v1.SyncService/RunSync
    (buf comes with `make .venv/dev`)

Logs are in {state}/logs, secrets in {shortest(admin_key.parent)}, certificates in {tls}.""",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )


def shortest(path: Path) -> str:
    """Return the path as seen from here when it is below, else whole."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
