"""Captions on Spark, through `DataFrame.mapInArrow`.

>>> import decap.spark                                               # doctest: +SKIP
>>> photos = spark.read.parquet("photos/")                           # doctest: +SKIP
>>> decap.spark.caption(photos, "path").write.parquet("captions/")   # doctest: +SKIP
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from ._captioner import BUNDLED
from ._rows import Settings, limit_threads, settings

if TYPE_CHECKING:
    import pyarrow
    from pyspark.sql import DataFrame
    from pyspark.sql.types import StructField

__all__ = ["caption"]


def caption(
    df: DataFrame,
    image_col: str,
    *,
    model: str | os.PathLike[str] = BUNDLED,
    memory: Iterable[str] | str | os.PathLike[str] | None = None,
    precision: str = "auto",
    method: str | None = None,
    evidence: int | None = None,
    beam: int | None = None,
    rerank: str | None = None,
    batch: int = 16,
    prefix: str = "",
) -> DataFrame:
    """`df` with captions beside its columns.

    `image_col` holds the photos: paths that the executors can read, the bytes of files, or structs of `bytes` and
    `path`. `model` and the options are those of `decap.Captioner`; `memory` is a list of sentences or the path of a
    memory's folder. A worker opens the model once and computes with `spark.task.cpus` threads.

    Each row gets `caption`, `score`, `confidence`, `evidence` (an array of `{text, weight}`) and `error`
    (`{kind, message}`, null where there is a caption), with `prefix` before these names. A photo that fails has its
    error in its row and stops nothing. A model that cannot be opened or a wrong option ends the job.

    Spark hands over `spark.sql.execution.arrow.maxRecordsPerBatch` rows at a time, 10,000 by default: where they hold
    bytes, set it to a few hundred.

    Raises `decap.InputError` where `df` lacks the column, or has one that would be added.
    """
    types = _needed_types()
    chosen = settings(
        image_col,
        model,
        memory,
        precision=precision,
        method=method,
        evidence=evidence,
        beam=beam,
        rerank=rerank,
        batch=batch,
        prefix=prefix,
    )
    chosen.check(df.columns)
    return df.mapInArrow(_Rows(chosen), types.StructType([*df.schema.fields, *_fields(types, chosen.names)]))


class _Rows:
    """What a worker does with its rows. It travels by name, so a worker needs the package, not this code."""

    def __init__(self, chosen: Settings) -> None:
        self._settings = chosen

    def __call__(self, batches: Iterator[pyarrow.RecordBatch]) -> Iterator[pyarrow.RecordBatch]:
        import pyarrow
        from pyspark import TaskContext

        context = TaskContext.get()
        limit_threads(context.cpus() if context is not None else 1)
        for batch in batches:
            added = self._settings.columns(batch.column(self._settings.column))
            names = [*batch.schema.names, *self._settings.names]
            yield pyarrow.RecordBatch.from_arrays([*batch.columns, *added], names)


def _fields(types: Any, names: list[str]) -> list[StructField]:
    """The columns that are added, as Spark calls their types; `_rows` makes them."""
    text, number = types.StringType(), types.DoubleType()
    piece = types.StructType([types.StructField("text", text), types.StructField("weight", number)])
    reason = types.StructType([types.StructField("kind", text), types.StructField("message", text)])
    kinds = (text, number, number, types.ArrayType(piece), reason)
    return [types.StructField(name, kind) for name, kind in zip(names, kinds, strict=True)]


def _needed_types() -> Any:
    """Spark's types, or how to get them."""
    try:
        from pyspark.sql import types
    except ImportError as error:
        raise ImportError("decap.spark needs Spark: pip install 'decap-captioner[spark]'") from error
    return types
