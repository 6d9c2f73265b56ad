"""An access token as a job uses it."""

from dataclasses import dataclass

from libs.secret import Secret


@dataclass(frozen=True)
class AccessToken:
    """A token that works now; its generation names it when TikTok rejects it."""

    value: Secret
    generation: int
    scopes: frozenset[str]
