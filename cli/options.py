"""Options that several commands have, and the examples at the end of their help."""

from enum import StrEnum
from typing import Annotated

import typer
from tokhub.token.v1 import token_pb2

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, fields as in protos/, instead of text.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Change nothing, and say what would be done.")]


class Product(StrEnum):
    """A product of TikTok whose accounts are connected."""

    LOGIN_KIT = "login-kit"
    SHOP = "shop"

    @property
    def provider(self) -> token_pb2.Provider.ValueType:
        """What the protos call it."""
        return token_pb2.PROVIDER_LOGIN_KIT if self is Product.LOGIN_KIT else token_pb2.PROVIDER_TIKTOK_SHOP


class Products(StrEnum):
    """One of them, or all."""

    LOGIN_KIT = "login-kit"
    SHOP = "shop"
    ALL = "all"

    @property
    def provider(self) -> token_pb2.Provider.ValueType:
        """What the protos call it."""
        return token_pb2.PROVIDER_UNSPECIFIED if self is Products.ALL else Product(self.value).provider


def examples(*lines: str) -> str:
    """Return the end of a help text."""
    return "\n".join(("Examples:", *(f"$ {line}" for line in lines)))
