import json
from pathlib import Path

from tests.soak.course import Plan, run
from tests.soak.report import as_json, as_markdown


async def test_a_short_soak_counts_what_came_of_it(tmp_path: Path) -> None:
    said: list[str] = []
    findings = await run(Plan(seconds=8, stores=3, rate=10, nemesis=None), tmp_path / "world", said.append)
    told = json.loads(as_json(findings))
    assert told["wrong"] == []
    assert told["outcomes"]["token"] == {"OK": 80}
    assert told["outcomes"]["run"] == {"OK": 1}
    assert {process["name"] for process in told["processes"]} == {"token-a", "token-b", "sync-a", "sync-b", "gateway"}
    assert (told["rotations"]["lost_silently"], told["checks"]) == (0, 1)
    assert "**Rotations**" in as_markdown(findings)
