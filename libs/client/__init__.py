"""Access tokens for a service of yours, in memory for as long as they are known to be current (docs/client.md)."""

from libs.client.client import TokenClient
from libs.client.token import Provider, Reference, Rejected, Shop, Token

__all__ = ["Provider", "Reference", "Rejected", "Shop", "Token", "TokenClient"]
