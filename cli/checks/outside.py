"""Looks at what is reached over HTTP from this machine: TikTok's hosts, and the token service's own figures."""

import asyncio
from collections.abc import Iterator, Mapping
from types import MappingProxyType

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

from cli.checks.finding import Finding, bad, good, warning
from libs.tiktok.address import check_url, origin_of

PATIENCE = aiohttp.ClientTimeout(total=10.0)
HOSTS: Mapping[str, str] = MappingProxyType(
    {
        "TIKTOK_LOGIN_AUTHORIZE_URL": "https://www.tiktok.com/v2/auth/authorize/",
        "TIKTOK_API_BASE_URL": "https://open.tiktokapis.com",
        "TIKTOK_SHOP_AUTHORIZE_URL": "https://services.tiktokshop.com/open/authorize",
        "TIKTOK_SHOP_TOKEN_BASE_URL": "https://auth.tiktok-shops.com",
        "TIKTOK_SHOP_API_BASE_URL": "https://open-api.tiktokglobalshop.com",
    }
)
METRICS_PORT = "9101"
UNSAVED, IN_MEMORY = "tokhub_token_unsaved", "tokhub_token_only_in_memory"


async def check_hosts(environ: Mapping[str, str]) -> list[Finding]:
    """Say which hosts of TikTok answer, whatever they answer."""
    addresses = {name: environ.get(name) or address for name, address in HOSTS.items()}
    origins: dict[str, str] = {}
    for name, address in addresses.items():
        try:
            origins.setdefault(origin_of(check_url(address)), name)
        except ValueError as error:
            return [bad("TikTok", f"{name} {error}.", f"Correct {name}.")]
    async with aiohttp.ClientSession(timeout=PATIENCE) as session:
        return list(await asyncio.gather(*(check_host(session, origin, name) for origin, name in origins.items())))


async def check_host(session: aiohttp.ClientSession, origin: str, variable: str) -> Finding:
    """Say whether a host answers."""
    try:
        async with session.get(origin, allow_redirects=False):
            return good("TikTok", f"{origin} answers")
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        todo = f"Look at DNS, proxies and firewalls between here and there, or at {variable}."
        return bad("TikTok", f"{origin} does not answer ({type(error).__name__}).", todo)


async def check_journal(environ: Mapping[str, str]) -> list[Finding]:
    """Say whether new tokens wait for the database; the metrics that tell are on the service's own machine."""
    address = f"http://127.0.0.1:{environ.get('TOKEN_METRICS_PORT') or METRICS_PORT}/metrics"
    try:
        async with aiohttp.ClientSession(timeout=PATIENCE) as session, session.get(address) as answer:
            return list(pending(dict(figures(await answer.text()))))
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError):
        todo = "Run this on the machine of a token service, with its TOKEN_METRICS_PORT."
        return [warning("journal", "what is pending cannot be told from here.", todo)]


def figures(text: str) -> Iterator[tuple[str, float]]:
    """Yield the metrics that have no labels."""
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if not sample.labels:
                yield sample.name, sample.value


def pending(values: Mapping[str, float]) -> Iterator[Finding]:
    """Yield what waits for a disk or for the database; raise ValueError for figures of another program."""
    if UNSAVED not in values or IN_MEMORY not in values:
        raise ValueError("no figures of a token service")
    if values[IN_MEMORY]:
        todo = "Do not end the token service: free the journal's disk or bring the database back (docs/signals.md)."
        yield bad("journal", f"{values[IN_MEMORY]:.0f} new tokens are in memory alone.", todo)
    elif values[UNSAVED]:
        todo = "They are saved when the database takes them: keep the journal until then."
        yield warning("journal", f"{values[UNSAVED]:.0f} new tokens are in the journal and not in the database.", todo)
    else:
        yield good("journal", "nothing waits for the database")
