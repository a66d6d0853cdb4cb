"""`decap.Memory`."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from . import _decap
from ._errors import InputError
from ._inputs import needed_numpy, sentences
from ._progress import Bar

if TYPE_CHECKING:
    import numpy


class Memory:
    """Sentences and their embeddings, which photos are projected onto.

    `Memory.build` makes one, `Memory.open` reads one, `Captioner.memory` is a captioner's own.
    """

    def __init__(self, native: Any) -> None:
        self._native = native

    @staticmethod
    def build(
        texts: Iterable[str],
        encoder: str | os.PathLike[str] = "tiny",
        *,
        max_rows: int = 500_000,
        progress: bool | None = None,
    ) -> Memory:
        """A memory of `texts`, without repetitions; above `max_rows` a random draw of them.

        `encoder` is `"tiny"`, a folder of an encoder or a model, or an id of the Hub.
        """
        listed = sentences(texts)
        with Bar(len(listed), " sentences", progress) as bar:
            native = _decap.Memory.build(listed, os.fspath(encoder), max_rows, bar.show)
        return Memory(native)

    @staticmethod
    def open(path: str | os.PathLike[str]) -> Memory:
        """The memory of a memory's folder, a model's folder, or `"tiny"`."""
        return Memory(_decap.Memory.open(os.fspath(path)))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes it into a new folder, which appears whole or not at all."""
        self._native.save(os.fspath(path))

    def search(self, query: Any, count: int = 5) -> list[tuple[str, float]]:
        """The sentences nearest to `query` with their cosines, nearest first.

        `query` is a sentence, or an embedding `[width]`.
        """
        if isinstance(query, str):
            return self._native.search_text(query, count)
        values = [float(value) for value in query]
        if len(values) != self.width:
            raise InputError(f"expected an embedding of width {self.width}, got {len(values)}", "mismatch")
        return self._native.search_embedding(values, count)

    @property
    def texts(self) -> list[str]:
        """The sentences, one a row."""
        return self._native.texts()

    @property
    def embeddings(self) -> numpy.ndarray:
        """The rows `[sentences, width]`, float32, each of length 1."""
        return needed_numpy().frombuffer(self._native.embeddings(), "<f4").reshape(-1, self.width)

    @property
    def width(self) -> int:
        """The width of a row."""
        return self._native.width

    def __len__(self) -> int:
        return len(self._native)

    def __repr__(self) -> str:
        return f"Memory({len(self)} sentences of encoder {self._native.encoder_name!r})"
