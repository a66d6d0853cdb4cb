"""`decap.score`."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from . import _decap
from ._errors import InputError


def score(
    references: Mapping[Any, Sequence[str]] | Sequence[Sequence[str]] | str | os.PathLike[str],
    predictions: Mapping[Any, str] | Sequence[str] | str | os.PathLike[str],
    *,
    meteor: str | os.PathLike[str] | None = None,
    allow_missing: bool = False,
) -> dict[str, float]:
    """BLEU, ROUGE-L, CIDEr and, with `meteor`, METEOR: fractions by the field's keys.

    `references` has the captions of each image, `predictions` one: as dicts with the same keys, as lists of
    the same length, or as files that `decap score` reads. `meteor` is the file that `decap score
    --prepare-meteor` makes. `allow_missing` leaves out images that only one side has.
    """
    given = _pairs(references, _captions), _pairs(predictions, _one)
    return _decap.score(*given, None if meteor is None else os.fspath(meteor), allow_missing)


def _pairs(given: Any, of: Any) -> Any:
    if isinstance(given, (str, os.PathLike)):
        return os.fspath(given)
    items = given.items() if isinstance(given, Mapping) else enumerate(given)
    return [(str(key), of(key, value)) for key, value in items]


def _captions(key: Any, value: Any) -> list[str]:
    """One reference may stand by itself."""
    captions = [value] if isinstance(value, str) else list(value)
    return [_text(key, caption) for caption in captions]


def _one(key: Any, value: Any) -> str:
    """A prediction; pycocoevalcap's shape of it is a list of one."""
    if isinstance(value, (list, tuple)) and len(value) == 1:
        value = value[0]
    return _text(key, value)


def _text(key: Any, value: Any) -> str:
    # Captions of `Captioner.caption_batch` are taken as they are.
    text = getattr(value, "text", value)
    if not isinstance(text, str):
        raise InputError(f"image {key}: expected a caption, got {type(value).__name__}")
    return text
