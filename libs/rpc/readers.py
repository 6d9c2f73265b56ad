"""Further services that may read tokens, by the names in their certificates: the setting TOKEN_READERS."""

import re
from collections.abc import Sequence
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator

from libs.settings import listed

NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
# Files of `make run` that are not a service's.
TAKEN = ("ca", "operator")


def reader(name: str) -> str:
    """Return the name of a service that may read tokens; raise ValueError."""
    if not NAME.fullmatch(name) or name in TAKEN:
        raise ValueError("must be names of services as in their certificates, such as reports,ads")
    if name == "gateway":
        raise ValueError("must not name the gateway: it faces the internet and never gets a token")
    return name


Readers = Annotated[Sequence[Annotated[str, AfterValidator(reader)]], BeforeValidator(listed)]
