"""Spreads over time what many would do at the same moment."""

from random import SystemRandom


def uniform(shortest: float, longest: float) -> float:
    """Return a number of that range, another one in each process, those that were forked from one too."""
    return SystemRandom().uniform(shortest, longest)
