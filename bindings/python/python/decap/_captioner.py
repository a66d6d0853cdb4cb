"""`decap.Captioner`."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from . import _decap
from ._errors import InputError
from ._inputs import each_prepared, needed_numpy, prepared, refuse_single, sentences
from ._memory import Memory
from ._progress import Bar
from ._result import Caption, Evidence

if TYPE_CHECKING:
    import numpy

#: The bundled model.
BUNDLED = "tiny"


class Captioner:
    """A captioner: frozen encoder, support memory and decoder.

    `model` is `"tiny"` (the bundled model, the default), the path of a model's folder, or an id of the
    Hugging Face Hub (`"hf:owner/name"`). `precision` is `auto`, `f32`, `bf16` or `int8`.

    A photo is a path, the bytes of a file, an open file, a PIL image, a NumPy array
    `[height, width, 3]` of uint8 (or of floats from 0 to 1), or whatever gives one by `__dlpack__` or
    `__array__`. Paths may be videos, where `ffmpeg` is installed.

    Threads may share a captioner. Processes that are forked from one that used it may not: start them
    with `multiprocessing.get_context("spawn")`. A captioner can be pickled: it is opened again there.
    """

    def __init__(self, model: str | os.PathLike[str] = BUNDLED, *, precision: str = "auto") -> None:
        self._opened = (os.fspath(model), precision)
        self._native = _decap.Captioner(*self._opened)
        self._texts: list[str] | None = None

    def caption(
        self,
        photo: Any,
        *,
        method: str | None = None,
        evidence: int | None = None,
        beam: int | None = None,
        rerank: str | None = None,
    ) -> Caption:
        """The caption of one photo or video.

        `method` is `projection` (the default), `visual`, `nearest`, `retrieval` or `consensus`;
        `evidence` the number of memory sentences shown (3); `beam` the number of beams; `rerank` how the
        caption is chosen among several, `none`, `encoder` or `consensus`.

        Raises `decap.InputError` where the photo cannot be used.
        """
        told: list[Caption] = []
        self._each(iter([prepared(photo, "photo")]), told.append, 1, method, evidence, beam, rerank)
        if told[0].error is not None:
            raise told[0].error
        return told[0]

    def caption_batch(
        self,
        photos: Iterable[Any],
        *,
        method: str | None = None,
        evidence: int | None = None,
        beam: int | None = None,
        rerank: str | None = None,
        batch: int = 16,
        progress: bool | None = None,
    ) -> list[Caption]:
        """The captions of many photos, one result each, in order.

        What cannot be used has its `error` in its place and stops nothing. Photos are decoded ahead, so an
        iterator is fine for more than memory holds. `progress` shows a bar of tqdm: by default on a terminal.
        """
        refuse_single(photos)
        told: list[Caption] = []
        total = len(photos) if isinstance(photos, Sequence) else None
        with Bar(total, " photos", progress) as bar:

            def consume(one: Caption) -> None:
                told.append(one)
                bar.step()

            self._each(each_prepared(photos), consume, batch, method, evidence, beam, rerank)
        return told

    def embed_images(self, photos: Iterable[Any], *, batch: int = 16, progress: bool | None = None) -> numpy.ndarray:
        """The embeddings of photos, `[photos, width]`, float32, each of length 1.

        Raises `decap.InputError` for the first photo that cannot be used.
        """
        refuse_single(photos)
        numpy = needed_numpy()
        rows: list[bytes] = []
        total = len(photos) if isinstance(photos, Sequence) else None
        with Bar(total, " photos", progress) as bar:

            def consume(_name: str, row: bytes | None, error: tuple[str, str] | None) -> None:
                if row is None:
                    kind, message = error or ("usage", "expected an embedding, got none")
                    raise InputError(message, kind)
                rows.append(row)
                bar.step()

            self._native.embed_each(each_prepared(photos), consume, batch)
        return numpy.frombuffer(b"".join(rows), "<f4").reshape(-1, self.width)

    def embed_texts(self, texts: Iterable[str]) -> numpy.ndarray:
        """The embeddings of sentences, `[texts, width]`, float32, each of length 1."""
        values = self._native.embed_texts(sentences(texts))
        return needed_numpy().frombuffer(values, "<f4").reshape(-1, self.width)

    def caption_embeddings(
        self,
        embeddings: Any,
        *,
        method: str | None = None,
        evidence: int | None = None,
        beam: int | None = None,
        rerank: str | None = None,
    ) -> list[Caption]:
        """Captions of embeddings `[rows, width]` of this captioner's encoder.

        With `method="visual"` the decoder is given them as they are: this is how a projection of your own is
        written out.
        """
        numpy = needed_numpy()
        array = numpy.asarray(embeddings, numpy.float32)
        if array.ndim != 2 or array.shape[1] != self.width:
            shape = ", ".join(str(side) for side in array.shape)
            raise InputError(f"expected embeddings [rows, {self.width}], got [{shape}]", "mismatch")
        told = self._native.caption_embeddings(array.ravel().tolist(), method, evidence, beam, rerank)
        return [_caption(f"embedding {place}", one) for place, one in enumerate(told)]

    def with_memory(self, texts: Iterable[str] | Memory) -> Captioner:
        """This captioner with other sentences as its memory: it then speaks of what they speak of.

        Nothing is trained, and encoder and decoder are shared.
        """
        other = object.__new__(Captioner)
        other._opened = self._opened
        if isinstance(texts, Memory):
            memory, other._texts = texts._native, texts.texts
        else:
            other._texts = sentences(texts)
            memory = self._native.memory_of(other._texts)
        other._native = self._native.with_memory(memory)
        return other

    def run_key(
        self,
        *,
        method: str | None = None,
        evidence: int | None = None,
        beam: int | None = None,
        rerank: str | None = None,
    ) -> str:
        """Tells apart all that decides a caption: model, memory with every sentence, precision, options."""
        return self._native.run_key(method, evidence, beam, rerank)

    @property
    def memory(self) -> Memory:
        """The support memory."""
        return Memory(self._native.memory())

    @property
    def name(self) -> str:
        """The model's name."""
        return self._native.name

    @property
    def width(self) -> int:
        """The width of an embedding."""
        return self._native.width

    @property
    def tau(self) -> float:
        """Softmax temperature of the projection."""
        return self._native.tau

    def _each(
        self,
        inputs: Iterator[Any],
        consume: Any,
        batch: int,
        method: str | None,
        evidence: int | None,
        beam: int | None,
        rerank: str | None,
    ) -> None:
        if batch < 1:
            raise InputError(f"batch: expected at least 1, got {batch}")

        def told(name: str, caption: Any, error: tuple[str, str] | None, warnings: list[str]) -> None:
            if error is not None:
                kind, message = error
                consume(Caption("", float("nan"), name=name, error=InputError(message, kind)))
            else:
                consume(_caption(name, caption, tuple(warnings)))

        self._native.caption_each(inputs, told, batch, method, evidence, beam, rerank)

    def __repr__(self) -> str:
        return f"Captioner({self._opened[0]!r}, {len(self._native.memory())} sentences)"

    def __reduce__(self) -> Any:
        return _opened_again, (*self._opened, self._texts)


def _opened_again(model: str, precision: str, texts: list[str] | None) -> Captioner:
    captioner = Captioner(model, precision=precision)
    return captioner if texts is None else captioner.with_memory(texts)


def _caption(name: str, told: Any, warnings: tuple[str, ...] = ()) -> Caption:
    text, score, confidence, evidence, chosen_from = told
    pieces = tuple(Evidence(text, weight) for text, weight in evidence)
    return Caption(text, score, pieces, name, chosen_from, warnings, confidence=confidence)
