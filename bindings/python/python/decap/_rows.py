"""Captions beside the rows of a table: what `decap.ray` and `decap.spark` have in common.

Each row gets the columns of `COLUMNS`: a caption, or the error that it has instead.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

from ._captioner import BUNDLED, Captioner
from ._errors import InputError
from ._memory import Memory
from ._result import Caption

#: The columns that are added, in order. `evidence` is a list of `{text, weight}`; `error` is `{kind, message}`,
#: and null where there is a caption.
COLUMNS = ("caption", "score", "confidence", "evidence", "error")


@dataclass(frozen=True)
class Settings:
    """How a table is captioned. Workers get it by pickle."""

    #: The column of photos: paths, bytes, or structs of `bytes` and `path`.
    column: str
    model: str = BUNDLED
    #: Sentences, or the path of a memory's folder.
    memory: tuple[str, ...] | str | None = None
    precision: str = "auto"
    method: str | None = None
    evidence: int | None = None
    beam: int | None = None
    rerank: str | None = None
    batch: int = 16
    #: Stands before the names of the columns that are added.
    prefix: str = ""

    @property
    def names(self) -> list[str]:
        """Names of the columns that are added."""
        return [self.prefix + name for name in COLUMNS]

    def check(self, names: Iterable[str]) -> None:
        """Refuses a table without the column, or with one that would be added."""
        there = list(names)
        if self.column not in there:
            raise InputError(f"expected a column `{self.column}`, got {', '.join(there) or 'none'}")
        clashing = [name for name in self.names if name in there]
        if clashing:
            raise InputError(
                f"there is a column `{clashing[0]}` already\n  "
                'give the new ones names of their own, as with prefix="decap_"'
            )

    def open(self) -> Captioner:
        """The captioner, once a process. Raises what makes every photo fail: a missing model, a wrong option."""
        return _opened(self)

    def columns(self, photos: Any) -> list[Any]:
        """The columns that are added for the Arrow array `photos` `[rows]`, as Arrow arrays `[rows]`.

        Nothing is raised for what fails: a job of a million photos goes on.
        """
        captioner = self.open()
        try:
            captions = captioner.caption_batch(
                map(_photo, photos),
                method=self.method,
                evidence=self.evidence,
                beam=self.beam,
                rerank=self.rerank,
                batch=self.batch,
                progress=False,
            )
        except Exception as error:
            failed = InputError(str(error) or type(error).__name__, getattr(error, "kind", "internal"))
            captions = [Caption("", float("nan"), error=failed)] * len(photos)
        return _arrays(captions)


def settings(column: str, model: Any, memory: Any, **options: Any) -> Settings:
    """What the caller said, as workers get it."""
    if memory is not None:
        memory = os.fspath(memory) if isinstance(memory, (str, os.PathLike)) else tuple(memory)
    return Settings(column, os.fspath(model), memory, **options)


def limit_threads(cpus: float) -> None:
    """Gives this process a thread for each CPU that it was given; before the first call alone."""
    os.environ.setdefault("RAYON_NUM_THREADS", threads_for(cpus))


def threads_for(cpus: float) -> str:
    """A thread for each whole CPU, and one at least."""
    return str(max(1, int(cpus)))


@functools.lru_cache(maxsize=4)
def _opened(settings: Settings) -> Captioner:
    captioner = Captioner(settings.model, precision=settings.precision)
    if isinstance(settings.memory, str):
        captioner = captioner.with_memory(Memory.open(settings.memory))
    elif settings.memory is not None:
        captioner = captioner.with_memory(settings.memory)
    # A wrong option is told here, not in every row.
    captioner.run_key(
        method=settings.method, evidence=settings.evidence, beam=settings.beam, rerank=settings.rerank
    )
    return captioner


def _photo(scalar: Any) -> Any:
    """What a captioner takes for an Arrow scalar. Tables of images often hold structs of `bytes` and `path`."""
    # Only tensors have `to_numpy`.
    value = scalar.to_numpy() if hasattr(scalar, "to_numpy") else scalar.as_py()
    if isinstance(value, dict) and ("bytes" in value or "path" in value):
        value = value.get("bytes") or value.get("path")
    if isinstance(value, str) and value.startswith("file:"):
        return url2pathname(urlsplit(value).path)
    return value


def _arrays(captions: list[Caption]) -> list[Any]:
    """Captions `[rows]` as the columns of `COLUMNS`, each of them an Arrow array `[rows]`."""
    import pyarrow

    pieces = pyarrow.list_(pyarrow.struct([("text", pyarrow.string()), ("weight", pyarrow.float64())]))
    reason = pyarrow.struct([("kind", pyarrow.string()), ("message", pyarrow.string())])
    told = [caption.to_dict() for caption in captions]
    kinds = (pyarrow.string(), pyarrow.float64(), pyarrow.float64(), pieces, reason)
    return [
        pyarrow.array([one.get(name) for one in told], kind) for name, kind in zip(COLUMNS, kinds, strict=True)
    ]
