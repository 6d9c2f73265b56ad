import re
from pathlib import Path

import httpx
from prometheus_client.parser import text_string_to_metric_families

from tests.suite.local_suite import Home

DOCS = (Path(__file__).parents[2] / "docs" / "signals.md").read_text()
ROW = re.compile(r"^\| `(tokhub_\w+)` \|.*$", re.MULTILINE)
# What a suite as it comes does not have.
OPTIONAL = re.compile(r"only with `(REDIS_URL|USER_JWKS_URL)`")


def documented() -> dict[str, str]:
    """Each metric's row in the docs."""
    return {found[1]: found[0] for found in ROW.finditer(DOCS)}


async def told(home: Home) -> set[str]:
    """The metrics of a suite's processes, as queries name them."""
    pages = [home.ports[name] for name in ("TOKEN_METRICS_PORT", "SYNC_METRICS_PORT", "PORT")]
    async with httpx.AsyncClient(trust_env=False) as client:
        texts = [(await client.get(f"http://127.0.0.1:{port}/metrics")).raise_for_status().text for port in pages]
    families = [family for text in texts for family in text_string_to_metric_families(text)]
    return {f"{family.name}_total" if family.type == "counter" else family.name for family in families}


async def test_a_suite_tells_every_metric_of_the_docs_and_no_other(served: Home) -> None:
    rows = documented()
    optional = {name for name, row in rows.items() if OPTIONAL.search(row)}

    found = {name for name in await told(served) if not name.startswith("process_")}

    assert found == set(rows) - optional
