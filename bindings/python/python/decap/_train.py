"""`decap.train`."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

from . import _decap
from ._captioner import Captioner, sentences
from ._errors import InputError
from ._progress import Stages


def train(
    texts: Iterable[str] | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    progress: bool | None = None,
    **options: Any,
) -> Captioner:
    """Trains a captioner on `texts` alone, writes it into the folder `out`, and opens it.

    `texts` are sentences, or the path (a `pathlib.Path`) of a caption file. `options` are those of
    `decap train`: `preset="fast"`, `encoder="clip/"`, `epochs=3`, `max_steps=100`, `resume=True` for
    `--resume`. Ctrl-C writes a checkpoint first; `resume=True` goes on from there.
    """
    if isinstance(texts, os.PathLike):
        given: Any = os.fspath(texts)
    elif isinstance(texts, str):
        raise InputError("expected a list of sentences, got one str\n  for a file, give a pathlib.Path")
    else:
        given = sentences(texts)
    words = [word for name, value in options.items() for word in typed(name, value)]
    stages = Stages(progress)
    try:
        _decap.train(given, os.fspath(out), words, stages.tell)
    finally:
        stages.close()
    return Captioner(out)


def typed(name: str, value: Any) -> list[str]:
    """An option as it would be typed. `from` is a word of Python: `from_`."""
    option = "--" + name.strip("_").replace("_", "-")
    if value is True:
        return [option]
    if value is None or value is False:
        return []
    return [option, str(value)]
