"""`python -m sandbox`: serve a TikTok to develop against."""

import logging
import os
import sys

from sandbox.app import create_app
from sandbox.logs import start_logging
from sandbox.server import listeners_of, serve
from sandbox.settings import InvalidSettingError, load_settings
from sandbox.store import StateFileError
from sandbox.usage import parser, unknown_variables

BAD_START = 2


def main() -> int:
    """Serve until asked to stop; one line on stderr if the start is impossible."""
    parser().parse_args()
    try:
        settings = load_settings()
        start_logging(settings.log_level)
        app = create_app(settings)
        listeners = listeners_of(settings)
    except (InvalidSettingError, StateFileError) as error:
        sys.stderr.write(f"{error}\n")
        return BAD_START
    except OSError as error:
        sys.stderr.write(f"SANDBOX_PORT, SANDBOX_HOST or SANDBOX_TLS_… cannot be listened on: {error.strerror}\n")
        return BAD_START
    host, port = listeners.plain.getsockname()[:2]
    fields = {"host": host, "port": port, "accounts": settings.accounts}
    if listeners.encrypted:
        fields["tls_port"] = listeners.encrypted.getsockname()[1]
    log = logging.getLogger("sandbox")
    log.info("Sandbox listening", extra={"fields": fields})
    for name in unknown_variables(os.environ):
        log.warning("No setting of the sandbox has this name", extra={"fields": {"variable": name}})
    serve(app, listeners)
    return 0


if __name__ == "__main__":
    sys.exit(main())
