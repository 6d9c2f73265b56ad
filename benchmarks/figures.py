"""What a measurement yields: figures, each with its floor and the bound that it has to meet."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from statistics import median


class Bound(StrEnum):
    """On which side of its limit a figure has to stay."""

    AT_LEAST = ">="
    AT_MOST = "<="


@dataclass(frozen=True, kw_only=True)
class Limit:
    """A bound on the ratio of a figure to its floor, or on the figure itself when it has none."""

    bound: Bound
    value: float

    def __str__(self) -> str:
        return f"{self.bound} {self.value:.3g}"

    def met_by(self, value: float) -> bool:
        """Return whether the bound is met."""
        return value >= self.value if self.bound is Bound.AT_LEAST else value <= self.value


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One quantity, measured once in each round; floors holds what it is compared with, round by round."""

    name: str
    unit: str
    rounds: Sequence[float]
    floor: str = ""
    floors: Sequence[float] = ()
    limit: Limit | None = None

    @property
    def value(self) -> float:
        """The median of the rounds."""
        return median(self.rounds)

    @property
    def spread(self) -> tuple[float, float]:
        """The smallest and the largest round."""
        return min(self.rounds), max(self.rounds)

    @property
    def ratio(self) -> float | None:
        """The median over the rounds of figure by floor: both sides of each were measured in the same seconds."""
        if not self.floors:
            return None
        return median(mine / floor for mine, floor in zip(self.rounds, self.floors, strict=True))

    @property
    def met(self) -> bool | None:
        """Whether the bound is met; None without a bound."""
        if self.limit is None:
            return None
        return self.limit.met_by(self.value if self.ratio is None else self.ratio)


def at_least(value: float) -> Limit:
    """Return the limit of something that must not be smaller."""
    return Limit(bound=Bound.AT_LEAST, value=value)


def at_most(value: float) -> Limit:
    """Return the limit of something that must not be larger."""
    return Limit(bound=Bound.AT_MOST, value=value)
