"""How items travel through the queue: alone, or several of a large run together, which costs each a part of a job."""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from services.sync.core.places import MOST_URGENT
from services.sync.domain.items import ItemKey
from services.sync.domain.jobs import Job
from services.sync.domain.subjects import Subject, SubjectKind

URGENT, USUAL = 1, 0
URGENT_LANE = "/urgent"  # jobs that a person waits for are taken from the queue apart
TOGETHER_LANE = "/together"
TOGETHER = 10  # items a job at most: a replica that comes late finds something to take
JOBS_TO_SHARE = 50  # fewer items of a kind go alone


@dataclass(frozen=True)
class Intake:
    """How many calls of a kind of job may be under way, and how many items such a job may bring."""

    places: int
    items: int = 1


def intakes(limits: Mapping[Job, int]) -> Mapping[str, Intake]:
    """Return what to take in, by PgQueuer's name for each kind of job."""
    return {
        **{f"{job}{URGENT_LANE}": Intake(min(limit, MOST_URGENT)) for job, limit in limits.items()},
        **{job.value: Intake(limit) for job, limit in limits.items()},
        **{f"{job}{TOGETHER_LANE}": Intake(limit, TOGETHER) for job, limit in limits.items()},
    }


@dataclass(frozen=True, kw_only=True)
class NewJob:
    """A job as it is added; while one of its name is queued or at work, there is no second."""

    entrypoint: str
    name: str
    payload: bytes
    priority: int


def alone(key: ItemKey, *, trace: Mapping[str, str], is_urgent: bool) -> NewJob:
    """Return the job of one item; the trace is what carries it."""
    return NewJob(
        entrypoint=f"{key.job}{URGENT_LANE if is_urgent else ''}",
        name=f"{key.run_id}/{key.job}/{key.subject.kind}/{key.subject.id}",
        payload=to_payload(key.run_id, {"kind": key.subject.kind, "id": key.subject.id}, trace),
        priority=URGENT if is_urgent else USUAL,
    )


def together(keys: Sequence[ItemKey], trace: Mapping[str, str]) -> NewJob:
    """Return the job of several items of one run and kind."""
    first = keys[0]
    return NewJob(
        entrypoint=f"{first.job}{TOGETHER_LANE}",
        name=f"{first.run_id}/{first.job}{TOGETHER_LANE}/{first.subject.kind}/{first.subject.id}",
        payload=to_payload(first.run_id, {"items": [(key.subject.kind, key.subject.id) for key in keys]}, trace),
        priority=USUAL,
    )


def shared_out(keys: Iterable[ItemKey], trace: Mapping[str, str]) -> list[NewJob]:
    """Return jobs for the items of a run that nobody waits for; there are enough of them for several replicas."""
    of_job: defaultdict[Job, list[ItemKey]] = defaultdict(list)
    for key in keys:
        of_job[key.job].append(key)
    jobs: list[NewJob] = []
    for same in of_job.values():
        size = min(TOGETHER, len(same) // JOBS_TO_SHARE)
        if size > 1:
            jobs += [together(same[at : at + size], trace) for at in range(0, len(same), size)]
        else:
            jobs += [alone(key, trace=trace, is_urgent=False) for key in same]
    return jobs


def to_payload(run_id: str, items: Mapping[str, object], trace: Mapping[str, str]) -> bytes:
    """Return what a job says about its items, and its trace if there is one; the job's entrypoint says the rest."""
    return json.dumps({"run_id": run_id, **items, **trace}).encode()


def to_keys(entrypoint: str, content: Mapping[str, Any]) -> list[ItemKey]:
    """Return the items of a job with this content."""
    run_id, job = content["run_id"], Job(entrypoint.partition("/")[0])
    items = content.get("items") or [(content["kind"], content["id"])]
    return [ItemKey(run_id, job, Subject(SubjectKind(kind), name)) for kind, name in items]
