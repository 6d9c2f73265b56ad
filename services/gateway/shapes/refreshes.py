"""What a refresh of all shops came to, as JSON."""

from collections.abc import Iterable
from typing import Any

from tokhub.token.v1 import token_pb2

Result = dict[str, Any]


def shop_result(ended: token_pb2.RefreshedConnection, number: int | None, name: str) -> Result:
    """Return how the refresh of a connection came out for one of its shops."""
    result: Result = {"shopNumber": number, "shopName": name}
    if ended.outcome == token_pb2.REFRESH_OUTCOME_FAILED:
        return {**result, "success": False, "error": f"{ended.reason}: {ended.message}"}
    if ended.outcome == token_pb2.REFRESH_OUTCOME_SKIPPED:
        return {**result, "success": True, "skipped": True}
    return {**result, "success": True}


def refresh_report(results: Iterable[Result]) -> Result:
    """Return all shops by number, and their counts; what was not due counts as successful."""
    listed = sorted(results, key=lambda result: (result["shopNumber"] is None, result["shopNumber"] or 0))
    successful = sum(result["success"] for result in listed)
    summary = {"total": len(listed), "successful": successful, "failed": len(listed) - successful}
    return {"success": True, "summary": summary, "results": listed}
