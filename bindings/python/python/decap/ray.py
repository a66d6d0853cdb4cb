"""Captions on Ray: rows of a data set, or shards.

>>> import ray, decap.ray                                            # doctest: +SKIP
>>> photos = ray.data.read_parquet("photos/")                        # doctest: +SKIP
>>> captioned = photos.map_batches(                                  # doctest: +SKIP
...     decap.ray.Captioner,
...     fn_constructor_kwargs={"column": "path"},
...     batch_format="pyarrow",
...     batch_size=256,
...     num_cpus=2,
...     concurrency=(1, 100),
... )
"""

from __future__ import annotations

import glob
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, Any

from ._captioner import BUNDLED
from ._errors import InputError
from ._progress import Bar
from ._rows import limit_threads, settings, threads_for
from ._train import typed

if TYPE_CHECKING:
    import pyarrow

__all__ = ["Captioner", "Shard", "caption_shards"]

#: Shards that wait at Ray or are captioned there at a time.
_MOST_AT_RAY = 1000

#: The most that is kept of what the program said of a shard, in characters.
_LONGEST_MESSAGE = 2000

#: The program `decap` for as long as its standard input is open, so that it ends with the worker that started it.
_PROGRAM = """
import os, sys, threading
def end_with_parent():
    os.read(0, 1)
    os._exit(1)
threading.Thread(target=end_with_parent, daemon=True).start()
from decap.__main__ import main
sys.exit(main())
"""


class Captioner:
    """For `Dataset.map_batches`: a captioner in an actor, opened once there.

    `column` holds the photos: paths, the bytes of files, structs of `bytes` and `path`, or images. `model` and the
    options are those of `decap.Captioner`; `memory` is a list of sentences or the path of a memory's folder. The
    actor computes with a thread for each CPU that Ray gave it (`num_cpus`, 1 unless you say more).

    Every column is kept, and each row gets `caption`, `score`, `confidence`, `evidence` (a list of `{text, weight}`)
    and `error` (`{kind, message}`, null where there is a caption), with `prefix` before these names. A photo that
    fails has its error in its row and stops nothing. A model that cannot be opened, a wrong option or a missing
    column ends the job.

    With `batch_format="pyarrow"` columns are handed on as they are; other formats are converted.
    """

    def __init__(
        self,
        column: str,
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
    ) -> None:
        limit_threads(_cpus_given())
        self._settings = settings(
            column,
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
        self._settings.open()

    def __call__(self, batch: Any) -> pyarrow.Table:
        """The batch with the columns that are added."""
        table = _arrow(batch)
        self._settings.check(table.column_names)
        columns = self._settings.columns(table[self._settings.column])
        for name, column in zip(self._settings.names, columns, strict=True):
            table = table.append_column(name, column)
        return table


@dataclass(frozen=True)
class Shard:
    """What came of one shard."""

    #: The archive or table.
    input: str
    #: The file of captions, one JSON object a line.
    output: str
    #: Photos with a caption, and photos with an error in its place.
    captioned: int = 0
    failed: int = 0
    #: The output was there, made with the same run key, and was left alone.
    was_there: bool = False
    #: Why there is no output.
    error: str | None = None


def caption_shards(
    inputs: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    output_folder: str | os.PathLike[str],
    *,
    num_cpus: float = 1,
    max_retries: int = 10,
    progress: bool | None = None,
    **options: Any,
) -> list[Shard]:
    """Captions archives and tables (`.tar`, `.tar.gz`, `.zip`, `.csv`, `.tsv`, `.jsonl`) on Ray, each into a file.

    `inputs` are paths, or one pattern such as `"shards/*.tar"`. The captions of `000.tar` go to `000.jsonl` in
    `output_folder`. Workers see both by the same paths. `options` are those of `decap caption-shard`:
    `model="my-model"`, `memory="memory/"`, `min_confidence="auto"`.

    A shard's output appears whole or not at all, and one that is there already, made with the same run key, is left
    alone. So every photo is captioned exactly once, whatever dies meanwhile: a shard whose worker died is begun anew,
    `max_retries` times; after that, the same call does what is left. A shard that cannot be captioned has its
    `error` and stops nothing. Results are in the order of `inputs`.

    Raises `decap.InputError` where two inputs would have one output, or an option is wrong.
    """
    ray = _needed_ray()
    shards = _shards(inputs, os.fspath(output_folder))
    words = [word for name, value in options.items() for word in typed(name, value)]
    task = ray.remote(_caption_shard).options(
        num_cpus=num_cpus, max_retries=max_retries, retry_exceptions=[_ProgramDied]
    )
    with Bar(len(shards), " shards", progress) as bar:
        waiting = iter(range(len(shards)))
        at_ray: dict[Any, int] = {}
        while True:
            for place in islice(waiting, _MOST_AT_RAY - len(at_ray)):
                at_ray[task.remote(shards[place], words, os.getcwd())] = place
            if not at_ray:
                return shards
            done, _ = ray.wait(list(at_ray))
            for reference in done:
                place = at_ray.pop(reference)
                shards[place] = _told(ray, reference, shards[place])
                bar.step()


class _ProgramDied(Exception):
    """The program was killed: the system's memory may be short for a moment."""


def _caption_shard(shard: Shard, words: list[str], folder: str) -> Shard:
    """On a worker: runs the program on one shard. `folder` is the caller's, which relative paths in options start at."""
    output = shard.output
    os.makedirs(os.path.dirname(output), exist_ok=True)
    # An empty one is of a shard without photos, and the program makes it again.
    was_there = os.path.isfile(output) and os.path.getsize(output) > 0
    # Not this process's own: Ray gives it other tasks, with other resources.
    threads = {"RAYON_NUM_THREADS": threads_for(_cpus_given())}
    with subprocess.Popen(
        [sys.executable, "-c", _PROGRAM, "caption-shard", "--quiet", *words, "--", shard.input, output],
        stdin=subprocess.PIPE,
        # Not the null device, which the program takes for a closed output.
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd=folder if os.path.isdir(folder) else None,
        env={**threads, **os.environ},
        text=True,
        errors="replace",
    ) as program:
        # Not `communicate`, which would close its standard input.
        said = program.stdout.read().strip()
        code = program.wait()
    if code < 0:
        raise _ProgramDied(f"{shard.input}: the program was ended by signal {-code}")
    if code == 0 or (code == 1 and not was_there and os.path.isfile(output)):
        return _counted(replace(shard, was_there=was_there))
    if code == 2 and not said.startswith("decap: "):
        raise InputError(said)
    return replace(shard, error=said[-_LONGEST_MESSAGE:] or f"the program ended with code {code}")


def _counted(shard: Shard) -> Shard:
    with open(shard.output, encoding="utf-8") as lines:
        counts = Counter("error" in json.loads(line) for line in lines)
    return replace(shard, captioned=counts[False], failed=counts[True])


def _told(ray: Any, reference: Any, shard: Shard) -> Shard:
    """The task's result; the shard with an error where Ray gave it up."""
    try:
        return ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, InputError):
            raise error.cause from None
        return replace(shard, error=str(error.cause))
    except ray.exceptions.RayError as error:
        return replace(shard, error=f"{type(error).__name__}: {error}"[:_LONGEST_MESSAGE])


def _shards(inputs: Any, output_folder: str) -> list[Shard]:
    """Each input with its output, both absolute: workers have other working folders."""
    if isinstance(inputs, (str, os.PathLike)):
        pattern = os.fspath(inputs)
        paths = sorted(glob.glob(pattern)) if glob.has_magic(pattern) else [pattern]
        if not paths:
            raise InputError(f"{pattern}: expected shards, got none", "not_found")
    else:
        paths = [os.fspath(path) for path in inputs]
    folder = os.path.abspath(output_folder)
    shards = [Shard(os.path.abspath(path), os.path.join(folder, _stem(path) + ".jsonl")) for path in paths]
    for output, count in Counter(shard.output for shard in shards).items():
        if count > 1:
            raise InputError(f"{output}: expected one shard for each output, got {count}\n  give them names of their own")
    return shards


def _stem(path: str) -> str:
    """`000` of `shards/000.tar.gz`."""
    name = os.path.basename(path)
    for ending in (".tar.gz", ".tgz"):
        if name.endswith(ending):
            return name[: -len(ending)]
    return os.path.splitext(name)[0]


def _arrow(batch: Any) -> pyarrow.Table:
    """A batch of whatever format as an Arrow table; images become tensors."""
    import pyarrow

    if isinstance(batch, pyarrow.Table):
        return batch
    _needed_ray()
    from ray.data.block import BlockAccessor

    return BlockAccessor.for_block(BlockAccessor.batch_to_block(batch)).to_arrow()


def _cpus_given() -> float:
    """What Ray gave this worker; outside of workers all there are."""
    ray = _needed_ray()
    try:
        return ray.get_runtime_context().get_assigned_resources().get("CPU", 1)
    except (AssertionError, RuntimeError):
        return os.cpu_count() or 1


def _needed_ray() -> Any:
    """Ray, or how to get it."""
    try:
        import ray
    except ImportError as error:
        raise ImportError("decap.ray needs Ray: pip install 'decap-captioner[ray]'") from error
    return ray
