"""docs/grpcurl.md, run as it stands beside a suite, apart from ports."""

import asyncio
import re
import shlex
import sys
from pathlib import Path

from services.sync.policy import TABLE as SYNC
from services.token.policy import TABLE as TOKEN
from tests.docs.recipes import ROOT, blocks
from tests.suite.local_suite import SERVING, Home, start

PAGE = "docs/grpcurl.md"
BUF = Path(sys.executable).with_name("buf")
# TikTok's and the gateway's calls, and one that needs a creator.
ELSEWHERE = {"CompleteAuthorization", "HandleProviderEvent", "ReportDenial", "GetAccountMetrics"}


def script(home: Home) -> str:
    """The recipes for buf: what fails is named; the stream without end is left at last, the slow rotation left out."""
    with_buf, _with_grpcurl, *recipes = blocks(PAGE)
    text = with_buf.replace("50051", str(home.ports["TOKEN_LISTEN"])).replace("50052", str(home.ports["SYNC_LISTEN"]))
    lines = [text.replace(".venv/bin/buf", shlex.quote(str(BUF)))]
    for line in "".join(recipes).splitlines():
        if "/WatchTokens" in line:
            lines.append(f"{line} >watched 2>&1 &")
        elif "/RotateKeys" not in line:
            lines.append(f"{line} || echo FAILED: {shlex.quote(line)}")
    return "\n".join([*lines, "kill $!"])


async def test_every_recipe_works_as_it_stands(home: Home) -> None:
    async with start(home, STORES="1") as suite:
        await suite.until(SERVING)
        process = await asyncio.create_subprocess_exec(
            *("sh", "-c", script(home)), cwd=home.path, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        output, _ = await process.communicate()
        said = output.decode()
        assert "FAILED" not in said, said
        assert '"begin"' in (home.path / "watched").read_text()
        assert "REVOCATION_DONE" in said


def test_every_call_has_a_recipe() -> None:
    asked = set(re.findall(r"^\S*rpc \S+ (?:\S+)\.\w+/(\w+)", "\n".join(blocks(PAGE)), re.MULTILINE))
    asked |= set(re.findall(r"\$\(rpc \S+ \S+/(\w+)", (ROOT / PAGE).read_text()))
    methods = {method for table in (TOKEN, SYNC) for names in table.values() for method in names}
    assert methods - asked == ELSEWHERE
