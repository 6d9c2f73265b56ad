"""Holds an embedded server until its input ends: `hold_server.py DIRECTORY [ACCOUNT]`; prints the address when ready.

With an ACCOUNT the process becomes that user before anything starts, but after all imports and with a copy of the
programs: the interpreter and its packages may be out of that user's reach.
"""

import codecs
import os
import pwd
import sys
from pathlib import Path
from unittest.mock import patch

from libs.database.embedded import EmbeddedPostgres
from libs.database.postgres import binaries, cluster


def become(account: str, directory: Path) -> None:
    entry = pwd.getpwnam(account)
    copy = binaries.copied_binaries(binaries.installed_binaries(), directory.parent)
    patch.object(cluster, "installed_binaries", return_value=copy).start()
    os.chown(directory.parent, entry.pw_uid, entry.pw_gid)
    codecs.lookup("ascii")
    os.setgroups([])
    os.setgid(entry.pw_gid)
    os.setuid(entry.pw_uid)


def main(directory: Path, account: str | None) -> None:
    if account is not None:
        become(account, directory)
    with EmbeddedPostgres(directory, settings={"fsync": "off"}) as server:
        sys.stdout.write(f"{server.dsn()}\n")
        sys.stdout.flush()
        sys.stdin.read()


main(Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else None)
