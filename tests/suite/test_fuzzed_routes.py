"""Routes are sent what their document allows and what it does not; limits are raised, so that it arrives."""

import asyncio
import os
import sys
from asyncio.subprocess import PIPE, STDOUT
from pathlib import Path

import httpx
import pytest

from tests.suite.local_suite import SERVING, Home, start

# A few of each in `make test`, many in `make fuzz`; always the same ones.
EXAMPLES = os.environ.get("FUZZ_EXAMPLES", "3")
SCHEMATHESIS = Path(sys.executable).with_name("st")
CHECKS = ("not_a_server_error", "status_code_conformance", "content_type_conformance", "response_schema_conformance")
# Shops are users' own; a rotation waits for a minute each time.
LEFT_OUT = "^/(api/v1/tiktok/|admin/vault/rotate)"
UNLIMITED = dict.fromkeys(
    ("RATE_LIMIT_ADMIN_PER_MINUTE", "RATE_LIMIT_OAUTH_PER_MINUTE", "AUTH_MAX_FAILURES"), "1000000"
)


async def fuzz(home: Home, headers: dict[str, str], *chosen: str) -> None:
    """Assert that no answer is a server error or undocumented."""
    sent = [argument for name, value in headers.items() for argument in ("-H", f"{name}: {value}")]
    arguments = ["--seed", "1", "-n", EXAMPLES, "-w", "1", "--phases", "examples,coverage,fuzzing", "--no-color"]
    process = await asyncio.create_subprocess_exec(
        *(SCHEMATHESIS, "run", f"{home.gateway}/api/openapi.json", "-c", ",".join(CHECKS), "--max-redirects", "0"),
        *(*arguments, *sent, *chosen),
        cwd=home.path,
        stdout=PIPE,
        stderr=STDOUT,
    )
    said, _ = await process.communicate()
    assert process.returncode == 0, said.decode()


async def answered(home: Home) -> set[int]:
    """Return every status the gateway has answered with."""
    async with httpx.AsyncClient(base_url=home.gateway) as client:
        lines = (await client.get("/metrics")).text.splitlines()
    return {int(line.split('status="')[1][:3]) for line in lines if line.startswith("tokhub_http_requests_total{")}


@pytest.mark.timeout(3_600)
async def test_no_route_breaks_or_answers_what_it_does_not_document(home: Home) -> None:
    async with start(home, STORES="2", **UNLIMITED) as suite:
        await suite.until(SERVING)
        await fuzz(home, home.user_headers("creator_1"), "--include-path-regex", "^/api/v1/")
        await fuzz(home, home.admin_headers, "--exclude-path-regex", LEFT_OUT)
        statuses = await answered(home)
    assert {200, 201, 204, 302, 400, 401, 403, 404, 409, 415} <= statuses
    assert not {429, 500} & statuses
