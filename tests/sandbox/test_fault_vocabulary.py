import json
from pathlib import Path
from typing import get_args

import pytest

from sandbox.fault_kinds import Fault, read_fault
from sandbox.faults import FaultScript
from tests.sandbox.visitor import Visitor

PAGE = (Path(__file__).parents[2] / "docs" / "sandbox.md").read_text(encoding="utf-8")
EXAMPLES = [line for line in PAGE.splitlines() if line.startswith('{"kind"')]


def kinds(of: type[Fault] = Fault) -> set[str]:
    own = set(get_args(of.model_fields["kind"].annotation))
    return own.union(*(kinds(child) for child in of.__subclasses__()))


def hits(script: FaultScript, calls: int) -> list[bool]:
    return [script.take("user_info", None) is not None for _ in range(calls)]


@pytest.mark.parametrize("kind", sorted(kinds()))
def test_every_kind_is_in_the_manual(kind: str) -> None:
    rows = [line for line in PAGE.splitlines() if line.startswith("| `")]
    assert any(f"`{kind}`" in row.split("|")[1] for row in rows)


@pytest.mark.parametrize("example", EXAMPLES)
async def test_every_example_of_the_manual_is_taken(visitor: Visitor, example: str) -> None:
    fault = json.loads(example)
    shown = (await visitor.client.post("/sandbox/faults", json=fault), await visitor.client.get("/sandbox/faults"))
    assert shown[0].status_code == 201
    pending = shown[1].json()["faults"][0]
    assert {name: pending[name] for name in fault if name != "open_id"} == {
        name: value for name, value in fault.items() if name != "open_id"
    }


@pytest.mark.parametrize(
    ("fault", "complaint"),
    [
        ({"kind": "flood"}, "kind"),
        ({"kind": "status"}, "status"),
        ({"kind": "status", "status": 200}, "status"),
        ({"kind": "status", "status": 503, "retry_after": "a\nb"}, "retry_after"),
        ({"kind": "slow", "at_byte": 3}, "at_byte"),
        ({"kind": "500", "probability": 0}, "probability"),
        ({"kind": "500", "endpoint": "shop"}, "endpoint"),
        ({"kind": "paging", "mode": "sideways"}, "mode"),
        ({"kind": "paging", "mode": "loop", "endpoint": "user"}, "endpoint"),
        ({"kind": "field", "set": {"data": 1}}, "JSON pointer"),
        ({"kind": "redirect", "to": "ftp://x"}, "to"),
        ({"kind": "error", "code": ""}, "code"),
        ({"kind": "headers", "headers": [["X", "ü"]]}, "headers"),
    ],
)
async def test_a_misfit_is_told_by_its_field(visitor: Visitor, fault: object, complaint: str) -> None:
    answer = await visitor.client.post("/sandbox/faults", json=[{"kind": "500"}, fault])
    assert answer.status_code == 400
    assert complaint in answer.json()["error"]["message"]
    assert (await visitor.client.get("/sandbox/faults")).json() == {"faults": []}


def test_a_probability_is_the_same_every_time() -> None:
    runs = []
    for seed in (7, 7, 8):
        script = FaultScript()
        script.add(read_fault({"kind": "500", "probability": 0.3, "count": None, "seed": seed}))
        runs.append(hits(script, 400))
    assert runs[0] == runs[1] != runs[2]
    assert 80 < sum(runs[0]) < 160


def test_a_call_that_is_spared_does_not_count() -> None:
    script = FaultScript()
    script.add(read_fault({"kind": "500", "probability": 0.3, "count": 5, "seed": 1}))
    assert sum(hits(script, 200)) == 5


def test_a_later_step_waits_for_the_earlier() -> None:
    script = FaultScript()
    for step in ({"kind": "500", "skip": 1, "count": 2}, {"kind": "slow"}):
        script.add(read_fault(step))
    taken = [script.take("user_info", None) for _ in range(4)]
    assert [fault and fault.kind for fault in taken] == ["slow", "500", "500", None]
