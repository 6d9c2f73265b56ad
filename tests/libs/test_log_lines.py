import json
import os
import random
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from libs.logs import SECRET_TEXT, scrub, scrub_text

ROOT = Path(__file__).parents[2]
PREAMBLE = """
import logging, structlog
from libs.logs import configure_logs
from libs.rpc.request_id import bind_request_id
log = structlog.get_logger()
configure_logs("token", LEVEL)
"""
SECRETS = {
    "an access token": "act.CNRYx1*!-_.y",
    "a refresh token": "rft.CNRYx1",
    "a client token": "clt.CNRYx1",
    "a code": "CNRYabcdefghij*0!6410",
    "a Shop token": "TTP_CNRYabcdefghijkl",
    "another Shop token": "ROW_CNRYabcdefghijkl",
    "an address with a password": "postgresql://tokhub:CNRYpassword@db.example:5432/tokhub",
    "an address with a name": "https://CNRYtoken@example.com/",
    "an address with a slash in its password": "postgresql://tokhub:CNRY/word@db.example/tokhub",
    "a query": "https://example.com/callback?code=CNRYcode&state=CNRYstate&scopes=a",
    "a form": "client_key=aw&client_secret=CNRYsecret&grant_type=refresh_token&refresh_token=CNRYtoken",
    "a header": "Authorization: Bearer CNRYtoken",
    "JSON": '{"access_token": "CNRYtoken", "expires_in": 7200}',
    "a repr": "{'client_secret': 'CNRYsecret'}",
    "a JWT": "eyJhbGciOiJIUzI1NiJ9.eyJCNRYjoxfQ.CNRYsignature",
    "an address with an at sign in its password": "redis://tokhub:p@CNRYword@cache.example:6379",
}


def run(body: str, level: str = "info") -> list[dict[str, Any]]:
    """Return the lines that a process with these statements logs."""
    script = PREAMBLE.replace("LEVEL", repr(level)) + textwrap.dedent(body)
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    ended = subprocess.run(
        (sys.executable, "-c", script), env=environment, capture_output=True, text=True, check=True, timeout=30
    )
    assert ended.stderr == ""
    return [json.loads(line) for line in ended.stdout.splitlines()]


def test_an_event_is_one_json_line_with_its_context() -> None:
    lines = run("""
        log.info("before")
        bind_request_id("req-1")
        log.warning("two\\nlines", store="店", number=3, unknown=object)
    """)
    assert len(lines) == 2
    assert "request_id" not in lines[0]
    second = lines[1]
    assert (second["msg"], second["level"], second["service"]) == ("two\nlines", "warning", "token")
    assert (second["request_id"], second["store"], second["number"]) == ("req-1", "店", 3)
    assert second["timestamp"].endswith("Z")


def test_the_standard_library_logs_the_same_way() -> None:
    (line,) = run("""
        bind_request_id("req-1")
        logging.getLogger("uvicorn.error").warning("token %s at %s", "act.CNRYx1", "https://u:CNRYp@example.com/")
    """)
    assert (line["msg"], line["level"]) == ("token *** at https://***example.com/", "warning")
    assert (line["service"], line["request_id"]) == ("token", "req-1")


def test_an_exception_is_told_within_the_line_and_without_secrets() -> None:
    lines = run("""
        def fail(token):
            try:
                raise ValueError(f"refused {token}")
            except ValueError as error:
                raise RuntimeError("postgresql://u:CNRYp@example.com/") from error
        try:
            fail("rft.CNRYx1")
        except RuntimeError as error:
            log.error("structlog", exc_info=error)
            logging.getLogger("asyncio").exception("standard library")
    """)
    assert len(lines) == 2
    for line in lines:
        assert "RuntimeError" in line["exception"]
        assert "refused ***" in line["exception"]
        assert "CNRY" not in str(line)


@pytest.mark.parametrize(
    ("level", "heard"),
    [
        ("trace", ["debug", "info", "warning", "error", "critical"]),
        ("debug", ["debug", "info", "warning", "error", "critical"]),
        ("info", ["info", "warning", "error", "critical"]),
        ("warn", ["warning", "error", "critical"]),
        ("error", ["error", "critical"]),
        ("fatal", ["critical"]),
    ],
)
def test_a_level_is_known_by_its_name(level: str, heard: list[str]) -> None:
    lines = run('for name in ("debug", "info", "warning", "error", "critical"): getattr(log, name)("x")', level)
    assert [line["level"] for line in lines] == heard


@pytest.mark.parametrize("text", SECRETS.values(), ids=SECRETS.keys())
def test_a_secret_is_blotted_out_wherever_it_stands(text: str) -> None:
    event = {
        "event": f"failed: {text}",
        "flat": text,
        "nested": {"list": [text, (text, {"deep": text})]},
        "bytes": text.encode(),
        "error": ValueError(text),
        f"key {text}": 1,
        "set": {text},
    }
    assert "CNRY" not in json.dumps(scrub(None, "info", event), default=repr)


@pytest.mark.parametrize(
    "key",
    ["access_token", "refresh_token", "client_secret", "app_secret", "code", "state", "authorization", "password"],
)
@pytest.mark.parametrize("spell", [str.lower, str.upper, str.title])
def test_a_secret_s_name_is_enough(key: str, spell: Any) -> None:
    event = {"event": "x", spell(key): "CNRYsecret", "nested": [{spell(key): ["CNRYsecret"]}]}
    assert "CNRY" not in json.dumps(scrub(None, "info", event))


def test_the_quick_look_misses_no_secret() -> None:
    draw = random.Random(1)
    pieces = ("act", "rft", "clt", "TTP", "ROW", "GCP", "eyJ", ".", "_", "-", "/", " ", ":", "*0!1", "é", "a" * 16)
    texts = ["".join(draw.choices(pieces, k=draw.randint(1, 8))) for _ in range(20_000)]
    assert [scrub_text(text) for text in texts] == [SECRET_TEXT.sub("***", text) for text in texts]


@pytest.mark.parametrize(
    "text",
    ["facts.of life", "act. one", "https://example.com/a?page=2", "mail someone@example.com", "code=NOT_FOUND", "12"],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert scrub(None, "info", {"event": text})["event"] == text


def test_the_outcome_of_a_call_is_not_taken_for_a_secret() -> None:
    (line,) = run("""
        from prometheus_client import CollectorRegistry
        from libs.rpc.gate import LocalGate
        from libs.rpc.interceptor import CallInterceptor, Ending, RpcMetrics
        around = CallInterceptor(RpcMetrics(CollectorRegistry()), LocalGate())
        around._report("/a/B", Ending("NOT_FOUND", "STORE_NOT_FOUND"), 0.5)
    """)
    assert {"/a/B", "NOT_FOUND", "STORE_NOT_FOUND", 500.0} <= set(line.values())


def test_a_log_that_cannot_be_written_stops_nobody() -> None:
    script = PREAMBLE.replace("LEVEL", repr("info")) + "log.error('lost')\nimport os\nos.write(2, b'went on')"
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run(
            (sys.executable, "-c", script),
            env=environment,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            timeout=30,
        )
    assert ended.stderr.startswith("went on")
