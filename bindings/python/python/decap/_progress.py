"""Progress bars, where tqdm is installed and a person watches."""

from __future__ import annotations

import sys
from typing import Any


class Bar:
    """A bar of tqdm, or nothing. `progress` is True, False, or None: only on a terminal."""

    def __init__(self, total: int | None, unit: str, progress: bool | None) -> None:
        self._bar = None
        if progress is False or (progress is None and not sys.stderr.isatty()):
            return
        try:
            from tqdm.auto import tqdm
        except ImportError:
            return
        self._bar = tqdm(total=total, unit=unit, leave=False)

    def __enter__(self) -> Bar:
        return self

    def __exit__(self, *_: Any) -> None:
        if self._bar is not None:
            self._bar.close()

    def step(self) -> None:
        """One more is done."""
        if self._bar is not None:
            self._bar.update(1)

    def show(self, done: int, total: int, note: str = "") -> None:
        """So many of so many are done."""
        if self._bar is not None:
            self._bar.total = total
            self._bar.set_postfix_str(note, refresh=False)
            self._bar.update(done - self._bar.n)


class Stages:
    """A bar for each stage of a long work, in turn."""

    def __init__(self, progress: bool | None) -> None:
        self._progress = progress
        self._stage = ""
        self._bar: Bar | None = None

    def tell(self, stage: str, done: int, total: int, note: str = "") -> None:
        """So much of `stage` is done."""
        if stage != self._stage:
            self.close()
            self._stage, self._bar = stage, Bar(total, f" {stage}", self._progress)
        if self._bar is not None:
            self._bar.show(done, total, note)

    def close(self) -> None:
        """Takes the bar away."""
        if self._bar is not None:
            self._bar.__exit__()
