"""The native part; use the package `decap` instead."""

from collections.abc import Callable, Iterator
from typing import Any

VERSION: str

_Told = tuple[str, float, float | None, list[tuple[str, float]], str]

class Captioner:
    name: str
    width: int
    tau: float
    def __init__(self, reference: str, precision: str) -> None: ...
    def caption_each(
        self,
        inputs: Iterator[Any],
        consume: Callable[[str, _Told | None, tuple[str, str] | None, list[str]], None],
        batch: int,
        method: str | None = None,
        evidence: int | None = None,
        beam: int | None = None,
        rerank: str | None = None,
    ) -> None: ...
    def embed_each(
        self,
        inputs: Iterator[Any],
        consume: Callable[[str, bytes | None, tuple[str, str] | None], None],
        batch: int,
    ) -> None: ...
    def embed_texts(self, texts: list[str]) -> bytes: ...
    def caption_embeddings(
        self,
        values: list[float],
        method: str | None = None,
        evidence: int | None = None,
        beam: int | None = None,
        rerank: str | None = None,
    ) -> list[_Told]: ...
    def with_memory(self, memory: Memory) -> Captioner: ...
    def memory_of(self, texts: list[str]) -> Memory: ...
    def memory(self) -> Memory: ...
    def run_key(
        self,
        method: str | None = None,
        evidence: int | None = None,
        beam: int | None = None,
        rerank: str | None = None,
    ) -> str: ...

class Memory:
    width: int
    encoder_name: str
    @staticmethod
    def open(reference: str) -> Memory: ...
    @staticmethod
    def build(
        texts: list[str],
        encoder: str,
        max_rows: int,
        progress: Callable[[int, int], None] | None,
    ) -> Memory: ...
    def save(self, folder: str) -> None: ...
    def search_text(self, query: str, count: int) -> list[tuple[str, float]]: ...
    def search_embedding(self, query: list[float], count: int) -> list[tuple[str, float]]: ...
    def texts(self) -> list[str]: ...
    def embeddings(self) -> bytes: ...
    def __len__(self) -> int: ...

def main(words: list[str]) -> int: ...
def score(
    references: list[tuple[str, list[str]]] | str,
    predictions: list[tuple[str, str]] | str,
    meteor: str | None,
    allow_missing: bool,
) -> dict[str, float]: ...
def train(
    texts: list[str] | str,
    out: str,
    options: list[str],
    progress: Callable[[str, int, int, str], None] | None,
) -> dict[str, float]: ...
