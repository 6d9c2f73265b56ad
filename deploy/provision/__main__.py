"""`python -m deploy.provision`: makes a suite's secrets, certificates and database roles, and hands them out."""

import asyncio
import os
import sys
from typing import Annotated

import typer

from deploy.local.identities import RENEW_EVERY
from deploy.local.postgres import DatabaseUnusable
from deploy.provision.handing import KNOWN, Provision
from deploy.provision.settings import ProvisionSettings
from libs.process import run
from libs.settings import load
from libs.waiting import wait_at_most

app = typer.Typer(
    help="Secrets, certificates and database roles of a suite.", no_args_is_help=True, add_completion=False
)


def provision() -> Provision:
    """Return the provision that the environment describes."""
    os.umask(0o077)
    return Provision(load(ProvisionSettings))


@app.command()
def make() -> None:
    """Make what is missing or ends soon, hand it out, and end."""
    provision().hand_out()


@app.command()
def keep() -> None:
    """Make and hand out, and again every hour, so that certificates are renewed; until told to stop."""
    run(kept)


async def kept(stop: asyncio.Event) -> None:
    """Hand out every hour until stop is set."""
    ours = provision()
    while not stop.is_set():
        ours.hand_out()
        await wait_at_most(stop, RENEW_EVERY)


@app.command()
def roles() -> None:
    """Give each service its role in the database, and its address."""
    try:
        asyncio.run(provision().admit())
    except DatabaseUnusable as error:
        raise typer.Exit(complain(str(error))) from None


@app.command()
def give(name: Annotated[str, typer.Argument(help="Such as TIKTOK_CLIENT_SECRET.")]) -> None:
    """Keep a secret of yours, which is read from standard input, and hand it out."""
    if name not in KNOWN:
        raise typer.Exit(complain(f"No process has a secret {name}: choose one of {', '.join(sorted(KNOWN))}."))
    value = sys.stdin.read().strip()
    if not value:
        raise typer.Exit(complain("Standard input was empty: pass the secret there, as in `... < file`."))
    ours = provision()
    ours.give(name, value)
    ours.hand_out()


def complain(text: str) -> int:
    """Say what is wrong, and return the exit status that goes with it."""
    sys.stderr.write(f"{text}\n")
    return 1


if __name__ == "__main__":
    app()
