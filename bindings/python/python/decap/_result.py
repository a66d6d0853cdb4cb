"""What comes out: a caption and what it rests on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ._errors import InputError


@dataclass(frozen=True)
class Evidence:
    """A sentence of the memory, and its share in the caption (0 to 1)."""

    text: str
    weight: float

    def __str__(self) -> str:
        return f"{self.weight:.2f}  {self.text}"

    def to_dict(self) -> dict[str, Any]:
        """As `decap caption --json` prints it."""
        return {"text": self.text, "weight": self.weight}


@dataclass(frozen=True)
class Caption:
    """The caption of one input, or in a batch the error that it has instead."""

    #: The caption; empty where there is an error.
    text: str
    #: Mean log-probability of its tokens; for the methods `retrieval` and `consensus` the cosine to the photo.
    score: float
    #: The memory sentences that it comes from, heaviest first.
    evidence: tuple[Evidence, ...] = ()
    #: The path, or what stands for the input in messages.
    name: str = ""
    #: `written` by the decoder, or taken from the `memory`.
    chosen_from: str = "written"
    #: What a person should know, such as a video that is cut short.
    warnings: tuple[str, ...] = ()
    #: How likely it is right, 0 to 1; None where the model does not know, as with a memory of your own.
    confidence: float | None = None
    #: Why there is no caption. Only in batches: elsewhere it is raised.
    error: InputError | None = None

    def __str__(self) -> str:
        return f"error: {self.error}" if self.error is not None else self.text

    def __repr__(self) -> str:
        if self.error is not None:
            return f"Caption(error={self.error!r}, name={self.name!r})"
        evidence = ", ".join(f"{one.weight:.2f} {one.text!r}" for one in self.evidence)
        return f"Caption({self.text!r}, score={self.score:.3f}, evidence=[{evidence}])"

    def to_dict(self) -> dict[str, Any]:
        """With the keys of `decap caption --json`."""
        if self.error is not None:
            error = {"kind": self.error.kind, "message": str(self.error)}
            return {"path": self.name, "error": error}
        known = {} if self.confidence is None else {"confidence": self.confidence}
        return {
            "path": self.name,
            "caption": self.text,
            "score": self.score,
            **known,
            "evidence": [one.to_dict() for one in self.evidence],
        }
