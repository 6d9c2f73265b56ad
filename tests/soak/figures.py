"""Figures of a long run: percentiles, slopes with how sure they are, and what no loss at all proves."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

LEAST_POINTS = 10
# Of the normal distribution: slopes are of dozens of points.
SURE = 1.96
HOUR = 3_600.0


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that this share of all does not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, math.ceil(share * len(ordered)) - 1))]


def most_likely(found: int, of: int) -> float:
    """Return the highest rate that is compatible, at 95 %, with so many found: 3/n when none was (rule of three)."""
    if not of:
        return 1.0
    return min(1.0, 3 / of) if not found else min(1.0, found / of + SURE * math.sqrt(found) / of)


@dataclass(frozen=True, kw_only=True)
class Slope:
    """Change in an hour, and between what it lies at 95 %."""

    hourly: float
    least: float
    most: float


def slope(seconds: Sequence[float], values: Sequence[float]) -> Slope | None:
    """Return the line through the points (least squares); None when there are too few.

    Neighbouring points are alike, so that there is less in them than their number says: the interval is widened by
    what the residuals have in common with the ones before them.
    """
    if len(values) < LEAST_POINTS or len(set(seconds)) < LEAST_POINTS:
        return None
    line = statistics.linear_regression(seconds, values)
    residuals = [value - line.slope * at - line.intercept for at, value in zip(seconds, values, strict=True)]
    spread = sum((at - statistics.fmean(seconds)) ** 2 for at in seconds)
    error = math.sqrt(sum(one * one for one in residuals) / (len(values) - 2) / spread)
    around = SURE * error * math.sqrt(widening(residuals))
    return Slope(hourly=line.slope * HOUR, least=(line.slope - around) * HOUR, most=(line.slope + around) * HOUR)


def widening(residuals: Sequence[float]) -> float:
    """Return how many points say as much as one that is independent, by the correlation of neighbours."""
    total = sum(one * one for one in residuals)
    if not total:
        return 1.0
    alike = sum(one * other for one, other in pairwise(residuals)) / total
    return (1 + min(0.95, alike)) / (1 - min(0.95, alike)) if alike > 0 else 1.0
