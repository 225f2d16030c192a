"""What a person hears while a model is fetched: bars in a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol, TextIO

if TYPE_CHECKING:
    import rich.progress


class Progress(Protocol):
    """Hears how a fetch goes. Both may be called from several threads."""

    def note(self, text: str) -> None:
        """Something worth a line: a licence to know of, a wait for another process."""

    def update(self, label: str, done: int, total: int | None) -> None:
        """`done` of `total` bytes of `label` are here; None where the size is not known."""


class Lines:
    """One plain line for each thing fetched: for logs and pipes."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._said: set[str] = set()

    def note(self, text: str) -> None:
        """Print a line."""
        print(text, file=self._stream, flush=True)

    def update(self, label: str, done: int, total: int | None) -> None:
        """Print a line the first time that `label` is heard of."""
        if label not in self._said:
            self._said.add(label)
            self.note(
                f"fetching {label} ({human(total)}) ..." if total else f"fetching {label} ..."
            )


class Bars:
    """A bar for each thing fetched, drawn by rich; nothing is imported before the first byte."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._tasks: dict[str, rich.progress.TaskID] = {}
        self._drawing: rich.progress.Progress | None = None

    def note(self, text: str) -> None:
        """Print a line above the bars."""
        self._draw().console.print(text, markup=False, highlight=False, soft_wrap=True)

    def update(self, label: str, done: int, total: int | None) -> None:
        """Move the bar of `label`."""
        drawing = self._draw()
        if label not in self._tasks:
            self._tasks[label] = drawing.add_task(label, total=total)
        drawing.update(self._tasks[label], completed=done, total=total)

    def close(self) -> None:
        """Leave the bars as they are and give the terminal back."""
        if self._drawing is not None:
            self._drawing.stop()

    def _draw(self) -> rich.progress.Progress:
        if self._drawing is None:
            from rich import progress  # noqa: PLC0415  # 50 ms, and only a fetch needs it
            from rich.console import Console  # noqa: PLC0415

            columns = (
                progress.TextColumn("{task.description}", markup=False),
                progress.BarColumn(),
                progress.DownloadColumn(),
                progress.TransferSpeedColumn(),
                progress.TimeRemainingColumn(),
            )
            self._drawing = progress.Progress(*columns, console=Console(file=self._stream))
            self._drawing.start()
        return self._drawing


@contextmanager
def heard(progress: Progress | None) -> Iterator[Progress]:
    """`progress` itself; where it is None, one that speaks on standard error."""
    if progress is not None:
        yield progress
    elif not sys.stderr.isatty():
        yield Lines(sys.stderr)
    else:
        bars = Bars(sys.stderr)
        try:
            yield bars
        finally:
            bars.close()


def human(size: float) -> str:
    """Bytes for people, in powers of a thousand as disks are sold.

    >>> human(0), human(999), human(98_362_432), human(2_471_645_608)
    ('0 B', '999 B', '98 MB', '2.5 GB')
    """
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000 or unit == "GB":
            break
        size /= 1000
    return f"{size:.1f} {unit}" if unit == "GB" else f"{size:.0f} {unit}"
