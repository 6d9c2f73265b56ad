import json
import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import promql_parser
import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.suite.local_suite import Home

ROOT = Path(__file__).parents[2]
DOCS = (ROOT / "docs" / "signals.md").read_text()
RULES = ROOT / "deploy" / "prometheus" / "rules.yml"
DASHBOARDS = sorted((ROOT / "deploy" / "grafana" / "dashboards").glob("*.json"))
ROW = re.compile(r"^\| `(tokhub_\w+)` \|.*$", re.MULTILINE)
# What a suite as it comes does not have.
OPTIONAL = re.compile(r"only with `(REDIS_URL|USER_JWKS_URL)`")
METRIC = re.compile(r"tokhub_\w+?(?=_bucket\b|_sum\b|_count\b|\b)")


def documented() -> dict[str, str]:
    """Each metric's row in the docs."""
    return {found[1]: found[0] for found in ROW.finditer(DOCS)}


def alerts() -> dict[str, str]:
    """The query of each alert."""
    groups = yaml.safe_load(RULES.read_text())["groups"]
    return {rule["alert"]: rule["expr"] for group in groups for rule in group["rules"]}


def queries() -> Iterator[str]:
    """Every query that is shipped: of alerts, of dashboards, of the docs."""
    yield from alerts().values()
    for board in DASHBOARDS:
        yield from (target["expr"] for panel in json.loads(board.read_text())["panels"] for target in panel["targets"])
    yield from re.findall(r"```promql\n(.+?)\n```", DOCS, re.DOTALL)


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


def test_every_query_that_is_shipped_parses_and_asks_for_what_there_is() -> None:
    known, asked = set(documented()), list(queries())
    for query in asked:
        promql_parser.parse(query)

    assert len(DASHBOARDS) == 4
    assert {name for query in asked for name in METRIC.findall(query)} <= known


def test_every_alert_is_tried_out_and_has_its_line_in_the_docs() -> None:
    tried = set(re.findall(r"- alertname: (\w+)", RULES.with_name("rules_test.yml").read_text()))

    assert set(alerts()) == tried == set(re.findall(r"^\| `(Tokhub\w+)`", DOCS, re.MULTILINE))
