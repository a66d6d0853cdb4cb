"""Image captions from a text file.

>>> import decap
>>> captioner = decap.Captioner()              # the bundled model, offline
>>> print(captioner.caption("cat.jpg"))        # doctest: +SKIP
A cat sleeping on a red chair.
"""

from ._captioner import Captioner
from ._decap import VERSION as __version__
from ._errors import InputError, ModelError
from ._memory import Memory
from ._pipeline import transformers_pipeline
from ._result import Caption, Evidence
from ._score import score
from ._train import train

__all__ = [
    "Caption",
    "Captioner",
    "Evidence",
    "InputError",
    "Memory",
    "ModelError",
    "__version__",
    "score",
    "train",
    "transformers_pipeline",
]
