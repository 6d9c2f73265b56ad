"""Tells programs of this machine's operator, as `tokhub`, where the suite is and by which certificate to call it."""

import re

from deploy.local.identities import OPERATOR
from deploy.local.programs import Suite
from libs.private_file import write_private
from libs.rpc.client_file import FILE, to_text

# What `tokhub doctor` looks at beside the services.
OUTSIDE = re.compile(r"TIKTOK_[A-Z_]+_URL|TOKEN_METRICS_PORT")


def leave_for_clients(suite: Suite) -> None:
    """Write the file, above the state of the sandbox and of the real TikTok: it names the suite started last."""
    settings, files = suite.settings, suite.identities.files(OPERATOR)
    told = suite.token().environment
    variables = {
        "TOKEN_TARGET": settings.token_target,
        "SYNC_TARGET": settings.sync_target,
        "TLS_CA": str(files.ca),
        "TLS_CERT": str(files.certificate),
        "TLS_KEY": str(files.key),
        **{name: value for name, value in told.items() if OUTSIDE.fullmatch(name)},
    }
    write_private(settings.tokhub_state_dir.absolute() / FILE, to_text(variables))
