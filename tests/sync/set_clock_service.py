"""The sync service with the time that a file names, which a test can change while it runs; sleeps are short."""

import os
from datetime import datetime
from pathlib import Path
from unittest.mock import patch

from libs.clock import SystemClock
from services.sync import __main__ as sync_service


class FileClock(SystemClock):
    def now(self) -> datetime:
        return datetime.fromisoformat(Path(os.environ["TEST_TIME_FILE"]).read_text())

    async def sleep(self, seconds: float) -> None:
        await super().sleep(min(seconds, 0.1))


if __name__ == "__main__":
    with patch.object(sync_service, "SystemClock", FileClock):
        sync_service.main()
