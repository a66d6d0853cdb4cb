"""Captions in the shape of transformers' image-to-text pipeline."""

from __future__ import annotations

import os
from typing import Any

from ._captioner import BUNDLED, Captioner


class ImageToTextPipeline:
    """Answers as transformers' pipeline `image-to-text`, which version 5 removed."""

    def __init__(self, captioner: Captioner) -> None:
        self.captioner = captioner

    def __call__(self, inputs: Any, *, batch_size: int = 16, **_: Any) -> list[Any]:
        """`[{"generated_text": ...}]` for one photo; a list of these for a list of photos.

        Raises the error of the first photo that cannot be used.
        """
        if not isinstance(inputs, (list, tuple)):
            return [{"generated_text": self.captioner.caption(inputs).text}]
        captions = self.captioner.caption_batch(inputs, batch=batch_size, progress=False)
        for caption in captions:
            if caption.error is not None:
                raise caption.error
        return [[{"generated_text": caption.text}] for caption in captions]


def transformers_pipeline(model: str | os.PathLike[str] | Captioner = BUNDLED) -> ImageToTextPipeline:
    """In the place of `transformers.pipeline("image-to-text")`.

    >>> captions = decap.transformers_pipeline()         # doctest: +SKIP
    >>> captions("cat.jpg")                              # doctest: +SKIP
    [{'generated_text': 'A cat sleeping on a red chair.'}]
    """
    return ImageToTextPipeline(model if isinstance(model, Captioner) else Captioner(model))
