"""Shows how far work is: bars that move in a terminal, a plain line every few seconds elsewhere."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from time import monotonic
from typing import Protocol

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

LINE_SECONDS = 3.0


@dataclass(frozen=True, kw_only=True)
class Row:
    """One piece of work in numbers."""

    label: str
    total: int
    processed: int
    failed: int = 0
    detail: str = ""

    @property
    def complete(self) -> bool:
        """Whether nothing of it is left."""
        return self.processed >= self.total


class Display(Protocol):
    """Where work in progress is shown."""

    def show(self, rows: Sequence[Row]) -> None:
        """Show the present state of all rows."""
        ...


@contextmanager
def open_display(console: Console) -> Iterator[Display]:
    """Yield the display that fits where the console writes."""
    if not console.is_terminal:
        yield Lines(console.print, monotonic)
        return
    columns = (
        TextColumn("  {task.description:<15}"),
        BarColumn(bar_width=32),
        MofNCompleteColumn(),
        TextColumn("{task.fields[failed]} failed"),
        Rate(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[detail]}", style="dim"),
    )
    with Progress(*columns, console=console, transient=False) as progress:
        yield Bars(progress)


class Bars:
    """A bar for each row."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._bars: dict[str, TaskID] = {}

    def show(self, rows: Sequence[Row]) -> None:
        """Move the bars."""
        for row in rows:
            if row.label not in self._bars:
                # What was done before anybody looked says nothing of speed.
                self._bars[row.label] = self._progress.add_task(
                    row.label, completed=row.processed, failed=row.failed, detail=row.detail
                )
            bar = self._bars[row.label]
            self._progress.update(bar, total=row.total, completed=row.processed, failed=row.failed, detail=row.detail)


class Rate(ProgressColumn):
    """Units of work per second."""

    def render(self, task: Task) -> Text:
        """Return the rate, empty before there is one."""
        speed = task.finished_speed or task.speed
        return Text(f"{speed:6.1f}/s" if speed else "", style="cyan")


class Lines:
    """A line with all rows, at most every LINE_SECONDS and when all are complete."""

    def __init__(self, write: Callable[[str], None], clock: Callable[[], float]) -> None:
        self._write = write
        self._clock = clock
        self._began = clock()
        self._written = self._began
        self._completed: dict[str, float] = {}
        self._before: dict[str, int] = {}
        self._last = ""

    def show(self, rows: Sequence[Row]) -> None:
        """Write a line unless the last one is too fresh or the same."""
        now = self._clock()
        for row in rows:
            self._before.setdefault(row.label, row.processed)
            if row.complete:
                self._completed.setdefault(row.label, now)
        if now - self._written < LINE_SECONDS and not all(row.complete for row in rows):
            return
        line = "  " + "; ".join(self._text(row, now) for row in rows)
        if line != self._last:
            self._write(line)
        self._written, self._last = now, line

    def _text(self, row: Row, now: float) -> str:
        seconds = self._completed.get(row.label, now) - self._began
        # What was done before anybody looked says nothing of speed.
        rate = (row.processed - self._before[row.label]) / seconds if seconds > 0 else 0.0
        speed = f", {rate:.1f}/s" if rate else ""
        left = f", {(row.total - row.processed) / rate:.0f} s left" if rate and not row.complete else ""
        failed = f", {row.failed} failed" if row.failed else ""
        detail = f", {row.detail}" if row.detail else ""
        return f"{row.label} {row.processed}/{row.total}{failed}{detail}{speed}{left}"
