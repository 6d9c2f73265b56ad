"""What a suite on this machine leaves in its state directory for programs of its operator: where it is, who they are.

Settings by the names of their variables, in a file that holds paths of secrets and none of the secrets.
"""

import json
from collections.abc import Mapping
from pathlib import Path

from libs.settings import WrongSetting

FILE = "client.json"


def to_text(variables: Mapping[str, str]) -> str:
    """Return the content of the file."""
    return json.dumps(variables, indent=2) + "\n"


def left_in(state: Path) -> dict[str, str]:
    """Return the variables that the last suite left; none when no suite has been started there."""
    try:
        found: dict[str, str] = json.loads((state / FILE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise WrongSetting(
            f"TOKHUB_STATE_DIR: {state / FILE} cannot be read ({type(error).__name__}): run this as the user who "
            "started the suite, or set TOKEN_TARGET, SYNC_TARGET, TLS_CA, TLS_CERT and TLS_KEY."
        ) from None
    return found
