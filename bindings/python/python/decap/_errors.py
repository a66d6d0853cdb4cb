"""The two kinds of errors, with the words of the program `decap`."""


class InputError(ValueError):
    """A photo, a sentence or an option cannot be used.

    `kind` is a short word for programs, as in `decap caption --json`: `not_found`, `unsupported`,
    `damaged`, `too_large`, `empty`, `usage` and so on.
    """

    def __init__(self, message: str, kind: str = "usage") -> None:
        super().__init__(message)
        self.kind = kind


class ModelError(RuntimeError):
    """A model, an encoder or a memory is missing, broken, or made for another one.

    `kind` is a short word for programs: `not_found`, `model`, `mismatch`, `unavailable` and so on.
    """

    def __init__(self, message: str, kind: str = "model") -> None:
        super().__init__(message)
        self.kind = kind
