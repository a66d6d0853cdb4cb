"""What Python objects mean as photos: the one place that looks at their types.

An input becomes what the native part takes: a path, `(name, bytes)`, `(name, width, height, pixels)`, or
`(name, kind, message)` where it cannot be used.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from typing import Any

from ._errors import InputError

#: As the program's limit on a photo's file.
MOST_FILE_BYTES = 512 << 20

_TAKEN = (
    "a path, bytes, a file object, a PIL image, or an array [height, width, 3] of uint8 (or of floats from 0 to 1)"
)


def prepared(given: Any, name: str) -> Any:
    """What the native part takes for `given`, which is called `name` in messages unless it has a path."""
    try:
        return _taken(given, name)
    except InputError as error:
        return (name, error.kind, str(error))


def each_prepared(inputs: Iterable[Any]) -> Iterator[Any]:
    """As `prepared`, for each; they are called `input 0`, `input 1` and so on."""
    for place, given in enumerate(inputs):
        yield prepared(given, f"input {place}")


def refuse_single(inputs: Any) -> None:
    """A path or bytes where several inputs are expected would be taken letter by letter."""
    if isinstance(inputs, (str, bytes, os.PathLike)):
        raise InputError(
            f"expected a list of inputs, got one {type(inputs).__name__}\n  put it into a list, or call caption()"
        )


def _taken(given: Any, name: str) -> Any:
    if isinstance(given, (str, os.PathLike)):
        return os.fsdecode(os.fspath(given))
    if isinstance(given, (bytes, bytearray, memoryview)):
        return (name, bytes(given))
    if _is_pil(given):
        return _of_pil(given, name)
    if hasattr(given, "read"):
        return (_name_of(given, name), _read(given, name))
    if any(hasattr(given, it) for it in ("__array__", "__array_interface__", "__dlpack__")):
        return _of_array(given, name)
    raise InputError(f"{name}: expected {_TAKEN}; got {type(given).__name__}", "unsupported")


def _name_of(file: Any, name: str) -> str:
    called = getattr(file, "name", None)
    return called if isinstance(called, str) else name


def _read(file: Any, name: str) -> bytes:
    name = _name_of(file, name)
    try:
        content = file.read(MOST_FILE_BYTES + 1)
    except Exception as error:
        raise InputError(f"{name}: cannot be read: {error}\n  open it again", "io") from error
    if not isinstance(content, (bytes, bytearray)):
        raise InputError(
            f'{name}: expected a file that gives bytes, got {type(content).__name__}\n  open it with mode "rb"',
            "unsupported",
        )
    if len(content) > MOST_FILE_BYTES:
        raise InputError(
            f"{name}: expected at most {MOST_FILE_BYTES >> 20} MiB, got more\n  make it smaller", "too_large"
        )
    return bytes(content)


def _is_pil(given: Any) -> bool:
    # Whoever has an image of it has imported it.
    module = sys.modules.get("PIL.Image")
    return module is not None and isinstance(given, module.Image)


def _of_pil(image: Any, name: str) -> Any:
    """Upright and flattened on white, as the photo's file would be read."""
    from PIL import Image, ImageOps

    name = getattr(image, "filename", "") or name
    try:
        image = ImageOps.exif_transpose(image)
        if image.mode in ("I;16", "I;16L", "I;16B"):
            # The high byte of each, as files of 16 bits are read.
            high = 0 if image.mode == "I;16B" else 1
            image = Image.frombytes("L", image.size, image.tobytes()[high::2])
        elif image.mode in ("I", "F"):
            raise InputError(
                f"{name}: expected a PIL image of a mode such as RGB, L or RGBA, got {image.mode}\n  "
                "convert it, with its values from 0 to 255",
                "unsupported",
            )
        if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
            layer = image.convert("RGBA")
            image = Image.new("RGBA", layer.size, "white")
            image.alpha_composite(layer)
        pixels = image.convert("RGB").tobytes()
    except InputError:
        raise
    except Exception as error:
        # A lazy image is decoded here, and may turn out to be damaged or closed.
        raise InputError(
            f"{name}: this PIL image cannot be decoded: {error}\n  get a fresh copy of this file, or leave it out",
            "damaged",
        ) from error
    return (name, image.width, image.height, pixels)


def _of_array(given: Any, name: str) -> Any:
    try:
        import numpy
    except ImportError as error:
        raise InputError(f"{name}: arrays need NumPy\n  pip install numpy", "unavailable") from error
    try:
        if hasattr(given, "__array_interface__") or not hasattr(given, "__dlpack__"):
            array = numpy.asarray(given)
        else:
            array = numpy.from_dlpack(given)
    except Exception as error:
        raise InputError(
            f"{name}: {type(given).__name__} cannot be read as an array: {error}\n  "
            "detach it, move it to the CPU, and convert it to uint8",
            "unsupported",
        ) from error
    if array.ndim != 3 or array.shape[2] != 3:
        remedy = "give one photo at a time, in RGB"
        if array.ndim == 3 and array.shape[0] == 3:
            remedy = "put the channels last: x.transpose(1, 2, 0), for a tensor x.permute(1, 2, 0)"
        elif array.ndim == 4:
            remedy = "give each photo by itself: caption_batch(list(x))"
        shape = ", ".join(str(side) for side in array.shape)
        raise InputError(f"{name}: expected an array [height, width, 3], got [{shape}]\n  {remedy}", "unsupported")
    if array.size == 0:
        raise InputError(f"{name}: expected at least one pixel, got none", "empty")
    if array.dtype.kind == "f":
        low, high = float(array.min()), float(array.max())
        # Written so that a value that is no number fails as well.
        if not (low >= 0.0 and high <= 1.0):
            raise InputError(
                f"{name}: expected floats from 0 to 1, got {low:.4g} to {high:.4g}\n  "
                "undo the normalisation, or convert 0 to 255 to uint8",
                "unsupported",
            )
        array = numpy.rint(array.astype(numpy.float32) * 255.0).astype(numpy.uint8)
    elif array.dtype != numpy.uint8:
        raise InputError(
            f"{name}: expected an array of uint8, or of floats from 0 to 1, got {array.dtype}\n  "
            "convert it: x.astype(numpy.uint8)",
            "unsupported",
        )
    height, width, _ = array.shape
    return (name, width, height, numpy.ascontiguousarray(array).tobytes())


def sentences(texts: Iterable[str]) -> list[str]:
    """A list of strings, or a `decap.InputError` that says what else there is."""
    if isinstance(texts, (str, bytes)):
        raise InputError(f"expected a list of sentences, got one {type(texts).__name__}\n  put it into a list")
    listed = list(texts)
    for place, text in enumerate(listed):
        if not isinstance(text, str):
            raise InputError(f"sentence {place}: expected a string, got {type(text).__name__}")
    return listed


def needed_numpy() -> Any:
    """NumPy, or how to get it."""
    try:
        import numpy
    except ImportError as error:
        raise ImportError("embeddings are NumPy arrays: pip install numpy") from error
    return numpy
