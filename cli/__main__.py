"""`tokhub`, or `python -m cli`: what an operator asks of a suite, over gRPC alone."""

import importlib
import os
import sys


def main() -> int:
    """Return the exit status; gRPC reads its own settings while it is imported."""
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    return int(importlib.import_module("cli.app").main())


if __name__ == "__main__":
    sys.exit(main())
