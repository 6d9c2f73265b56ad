"""Right answers made wrong: fields of other types, fields that are missing, pages that never end."""

from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import replace
from math import ceil
from typing import Any

from sandbox.clock import DAY_SECONDS
from sandbox.fault_kinds import DuplicateVideos, Fault, FieldFault, Paging
from sandbox.web.answers import Answer, Json

BACK_MILLISECONDS = 60 * DAY_SECONDS * 1_000


def bent(answer: Answer, fault: Fault | None) -> Answer:
    """Return the answer as the fault leaves it; unchanged if the fault is of another kind."""
    bend: Callable[[Json], None] | None = None
    match fault:
        case FieldFault():
            bend = _fields(fault)
        case Paging():
            bend = _on_page(_PAGING[fault.mode])
        case DuplicateVideos():
            bend = _on_page(lambda data: _repeat(data, fault))
    if bend is None or isinstance(answer.body, str):
        return answer
    body = deepcopy(answer.body)
    bend(body)
    return replace(answer, body=body)


def _fields(fault: FieldFault) -> Callable[[Json], None]:
    def bend(body: Json) -> None:
        for pointer, value in fault.set.items():
            for parent, key in _places(body, _parts(pointer)):
                parent[key] = deepcopy(value)
        for pointer in fault.remove:
            for parent, key in list(_places(body, _parts(pointer))):
                if isinstance(parent, list) or key in parent:
                    del parent[key]

    return bend


def _parts(pointer: str) -> list[str]:
    return [part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:]]


def _places(node: Any, parts: list[str]) -> Iterator[tuple[Any, Any]]:
    """Yield what the pointer leads to, as container and key; nothing where the way ends before."""
    for key in _keys(node, parts[0]):
        if len(parts) == 1:
            yield node, key
        elif isinstance(node, list) or key in node:
            yield from _places(node[key], parts[1:])


def _keys(node: Any, part: str) -> list[Any]:
    if isinstance(node, dict):
        return [part]
    if not isinstance(node, list):
        return []
    if part == "*":
        return list(range(len(node)))
    return [int(part)] if part.isdecimal() and int(part) < len(node) else []


def _on_page(bend: Callable[[Json], None]) -> Callable[[Json], None]:
    def bend_page(body: Json) -> None:
        data = body.get("data")
        if isinstance(data, dict) and "has_more" in data:
            bend(data)

    return bend_page


def _posted(video: Json) -> int | None:
    """Return when a video was posted, in seconds, as far as the fields asked for tell."""
    if "create_time" in video:
        return int(video["create_time"])
    return int(video["id"]) >> 32 if "id" in video else None


def _this_page_again(data: Json) -> None:
    posted = _posted(data["videos"][0]) if data["videos"] else None
    if posted is not None:
        data["cursor"] = posted * 1_000 + 1
    data["has_more"] = True


def _forever(data: Json) -> None:
    data["has_more"] = True


def _back(data: Json) -> None:
    data["cursor"] += BACK_MILLISECONDS
    data["has_more"] = True


def _nothing_yet(data: Json) -> None:
    _this_page_again(data)
    data["videos"] = []


_PAGING: dict[str, Callable[[Json], None]] = {
    "loop": _this_page_again,
    "forever": _forever,
    "back": _back,
    "empty": _nothing_yet,
}


def _repeat(data: Json, fault: DuplicateVideos) -> None:
    videos = data["videos"]
    number = ceil(len(videos) * fault.share)
    if not fault.across:
        videos.extend(deepcopy(videos[:number]))
        return
    last_kept = len(videos) - number - 1
    posted = _posted(videos[last_kept]) if last_kept >= 0 else None
    if posted is not None and data["has_more"]:
        data["cursor"] = posted * 1_000
