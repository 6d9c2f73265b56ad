"""Reads what a gateway sends as server-sent events."""

import asyncio
import json
from typing import Any


class Events:
    """Reads server-sent events from an answer."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.lines = answer.aiter_lines()

    async def block(self) -> dict[str, str]:
        fields: dict[str, str] = {}
        async for line in self.lines:
            if not line:
                return fields
            name, _, value = line.partition(":")
            fields[name or "comment"] = value.strip()
        return fields

    async def next(self) -> dict[str, Any]:
        while block := await asyncio.wait_for(self.block(), 5):
            if "data" in block:
                assert block["event"] == "progress"
                data: dict[str, Any] = json.loads(block["data"])
                assert block["id"] == str(data["sequence"])
                return data
        return {}

    async def rest(self) -> list[dict[str, Any]]:
        events = []
        while event := await self.next():
            events.append(event)
        return events
