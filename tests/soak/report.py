"""A soak as people read it, and as programs do."""

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict

from tests.soak.course import Findings
from tests.soak.figures import Slope, most_likely, percentile
from tests.soak.meters import Use

SHARES = (0.5, 0.95, 0.99, 0.999)


def as_json(findings: Findings) -> str:
    """Return all that was found."""
    told = {
        "on": findings.on,
        "plan": asdict(findings.plan),
        "rotations": rotations(findings),
        "latencies_ms": {kind: spread(values) for kind, values in findings.tally.latencies.items()},
        "outcomes": findings.tally.outcomes,
        "processes": [asdict(use) for use in findings.uses],
        "harm": findings.harm,
        "checks": findings.checks,
        "wrong": findings.wrong,
    }
    return json.dumps(told, indent=2, ensure_ascii=False) + "\n"


def rotations(findings: Findings) -> dict[str, object]:
    """Return how many there were, what was lost, named or not, and what that proves."""
    silent = [one for one in findings.wrong if one.startswith("I1:")]
    twice = sum(count for often, count in findings.again.items() if often in ("presented_twice", "presented_more"))
    return {
        "done": findings.rotations,
        "lost_silently": len(silent),
        "lost_and_named": list(findings.named),
        "at_most_lost_silently": most_likely(len(silent), findings.rotations),
        "repeated_once": findings.again.get("presented_once", 0),
        "repeated_more_often": twice,
    }


def spread(values: list[float]) -> dict[str, float]:
    """Return percentiles in milliseconds."""
    told = {f"p{share * 100:g}": percentile(values, share) * 1000 for share in SHARES}
    return {name: round(value, 1) for name, value in (told | {"max": max(values) * 1000}).items()}


def as_markdown(findings: Findings) -> str:
    """Return the report."""
    return "\n".join(lines(findings)) + "\n"


def lines(findings: Findings) -> Iterator[str]:
    """Yield the report's lines."""
    plan, machine = findings.plan, findings.on["machine"]
    kind = "calm" if plan.nemesis is None else f"with a nemesis, seed {plan.nemesis}"
    yield f"# A soak of {plan.seconds / 60:g} minutes, {kind}"
    yield ""
    yield (
        f"Commit {findings.on['commit']}, {findings.on['at']}; {machine['processor']}, {machine['cores']} cores, "
        f"load {machine['load']:.1f} before it. {plan.stores} connections with tokens of a minute, "
        f"{plan.rate:g} tokens asked for in a second, open loop."
    )
    yield ""
    yield from verdict(findings)
    yield from tables(findings)


def verdict(findings: Findings) -> Iterator[str]:
    """Yield what was wrong, and what became of the rotations."""
    yield f"**Invariants**, looked at {findings.checks} times: {len(findings.wrong)} did not hold."
    yield from (f"- {one}" for one in findings.wrong)
    told = rotations(findings)
    named = findings.named
    yield ""
    yield (
        f"**Rotations**: {told['done']} done, {told['lost_silently']} lost without a word (at most "
        f"{told['at_most_lost_silently']:.2%} at 95 %), {len(named)} lost, named as such and connected again by their "
        f"owners; {told['repeated_once']} tokens presented once more because their answer was lost, "
        f"{told['repeated_more_often']} more often."
    )
    yield from (f"- {one}" for one in named)
    yield ""


def tables(findings: Findings) -> Iterator[str]:
    """Yield latencies, outcomes, processes and harm."""
    yield "| what | asked | " + " | ".join(f"p{share * 100:g} ms" for share in SHARES) + " | max ms | how it ended |"
    yield "|---" * (len(SHARES) + 4) + "|"
    for kind, values in findings.tally.latencies.items():
        ended = ", ".join(f"{count} {word}" for word, count in findings.tally.outcomes[kind].most_common())
        yield f"| {kind} | {len(values)} | {' | '.join(f'{one:g}' for one in spread(values).values())} | {ended} |"
    yield ""
    yield (
        "| process | lives | the longest, s | MB in an hour of it | in its last half | descriptors in an hour of it "
        "| most MB | most descriptors |"
    )
    yield "|---|---|---|---|---|---|---|---|"
    lives: defaultdict[str, list[Use]] = defaultdict(list)
    for use in findings.uses:
        lives[use.name].append(use)
    yield from (row(name, uses) for name, uses in sorted(lives.items()))
    yield ""
    yield "Why memory grows at first, and where that ends: docs/operations.md, Memory."
    if findings.harm:
        yield ""
        yield "| harm | times |"
        yield "|---|---|"
        yield from (f"| {what} | {times} |" for what, times in sorted(findings.harm.items()))


def row(name: str, uses: Sequence[Use]) -> str:
    """Return the line of a process, which may have lived more than once."""
    longest = max(uses, key=lambda use: use.seconds)
    told = (
        *(f"{len(uses)}", f"{longest.seconds:.0f}"),
        *(sloped(longest.memory), sloped(longest.last_half), sloped(longest.descriptors)),
        *(f"{max(use.most_memory for use in uses):.0f}", f"{max(use.most_descriptors for use in uses):.0f}"),
    )
    return f"| {name} | {' | '.join(told)} |"


def sloped(found: Slope | None) -> str:
    """Return a slope with its interval."""
    return f"{found.hourly:+.1f} ({found.least:+.1f} to {found.most:+.1f})" if found else "too short"
