from collections.abc import Sequence

import httpx

from tests.suite.collector import Told, collecting
from tests.suite.local_suite import SERVING, Home, start

ROOT = "POST /admin/sync/run"
READ = "tokhub.token.v1.TokenService/BatchGetValidTokens"
CALL = "GET /v2/user/info/"


def trace_of(spans: Sequence[Told]) -> dict[bytes, Told]:
    """The spans of the request that started a run, by their ids."""
    traces = {span.trace for span in spans if span.name == ROOT}
    return {span.id: span for span in spans if span.trace in traces}


def is_whole(spans: Sequence[Told]) -> bool:
    trace = trace_of(spans)
    names = {(span.service, span.name) for span in trace.values()}
    known = all(span.parent in trace for span in trace.values() if span.name != ROOT)
    return known and {("tokhub-token", READ), ("tokhub-sync", CALL), ("tokhub-gateway", ROOT)} <= names


def way_to(span: Told, trace: dict[bytes, Told]) -> list[str]:
    """The services from the root to a span, each once."""
    services = [span.service]
    while span.parent:
        span = trace[span.parent]
        services.append(span.service)
    return list(dict.fromkeys(reversed(services)))


async def test_a_run_is_one_trace_over_all_services_without_a_secret(home: Home) -> None:
    async with collecting() as collector:
        sending = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_BSP_SCHEDULE_DELAY": "200", "DB_LOGGING": "1"}
        async with start(home, STORES="2", **sending) as suite:
            await suite.until(SERVING)
            async with httpx.AsyncClient(base_url=home.gateway, headers=home.admin_headers, timeout=30) as client:
                answer = await client.post("/admin/sync/run", json={"store_code": "store_0001", "job": "all"})
            assert answer.json()["success"], answer.text
            await collector.until(is_whole)
        trace = trace_of(collector.spans)
        read = next(span for span in trace.values() if (span.service, span.name) == ("tokhub-token", READ))
        assert way_to(read, trace) == ["tokhub-gateway", "tokhub-sync", "tokhub-token"]
        secrets = ("CNRY", "act.", "rft.", "code=", "state=", home.admin_headers["X-API-KEY"])
        assert [word for word in secrets if word.encode() in b"".join(collector.bodies)] == []
    logs = [(home.state / "logs" / f"{name}.log").read_text() for name in ("gateway", "sync", "token")]
    assert all(f'"trace_id": "{read.trace.hex()}"' in log for log in logs)
    assert all('"msg": "statement"' in log and "CNRY" not in log for log in logs)
