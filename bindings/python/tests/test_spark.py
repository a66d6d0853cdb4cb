"""Spark on a local cluster of two executors, which are killed while they work."""

import os
import signal
import sys
from pathlib import Path

import pytest

import decap

pyspark = pytest.importorskip("pyspark", reason="needs pyspark: pip install 'decap-captioner[spark]'")
pytest.importorskip("pyarrow", reason="needs pyarrow: pip install 'decap-captioner[spark]'")

import decap.spark  # noqa: E402

PHOTOS = sorted((Path(__file__).resolve().parents[3] / "examples" / "photos").glob("*.webp"))


@pytest.fixture(scope="module")
def spark():
    from pyspark.sql import SparkSession

    os.environ["PYSPARK_PYTHON"] = sys.executable
    builder = SparkSession.builder.master("local-cluster[2,1,1024]").appName("decap")
    settings = {
        "spark.executor.memory": "1g",
        "spark.ui.enabled": "false",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.sql.shuffle.partitions": "2",
        "spark.task.maxFailures": "4",
    }
    for name, value in settings.items():
        builder = builder.config(name, value)
    try:
        session = builder.getOrCreate()
    except Exception as error:
        pytest.skip(f"needs Java: {error}")
    yield session
    session.stop()


@pytest.fixture(scope="module")
def expected(captioner):
    """The captions of `PHOTOS`."""
    return [caption.text for caption in captioner.caption_batch(PHOTOS)]


class KillExecutors:
    """Hands batches on, and kills the executor that it runs on, as often as there are files in `deaths`."""

    def __init__(self, deaths):
        self._deaths = deaths

    def __call__(self, batches):
        for batch in batches:
            for death in Path(self._deaths).iterdir():
                try:
                    death.unlink()
                except FileNotFoundError:
                    continue
                # This process was forked by PySpark's daemon, which the executor started.
                daemon = Path(f"/proc/{os.getppid()}/stat").read_text()
                os.kill(int(daemon.rsplit(")", 1)[1].split()[1]), signal.SIGKILL)
            yield batch


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="needs /proc")
def test_every_row_is_captioned_once_though_executors_are_killed(spark, expected, tmp_path):
    from pyspark import cloudpickle

    # Executors cannot import this file.
    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    deaths, out = tmp_path / "deaths", str(tmp_path / "captions")
    deaths.mkdir()
    for death in range(2):
        (deaths / str(death)).touch()
    photos = [str(path) for path in PHOTOS] + ["no-such-photo.jpg"]
    rows = [(place, photos[place % len(photos)]) for place in range(2 * len(photos))]
    df = spark.createDataFrame(rows, "id long, photo string").repartition(4)
    captioned = decap.spark.caption(df, "photo").mapInArrow(
        KillExecutors(str(deaths)), decap.spark.caption(df, "photo").schema
    )
    captioned.write.parquet(out)
    assert list(deaths.iterdir()) == []
    told = sorted(spark.read.parquet(out).collect(), key=lambda row: row.id)
    assert [row.id for row in told] == list(range(len(rows)))
    for row in told:
        place = row.id % len(photos)
        if place < len(PHOTOS):
            assert (row.caption, row.error, row.photo) == (expected[place], None, photos[place])
            assert len(row.evidence) == 3
            assert 0 < row.evidence[0].weight <= 1
        else:
            assert (row.caption, row.score, row.evidence) == (None, None, None)
            assert row.error.kind == "not_found"


def test_photos_are_bytes_structs_and_addresses_of_files_too(spark, expected):
    from pyspark.sql.functions import struct

    folder = str(PHOTOS[0].parent)
    files = spark.read.format("binaryFile").option("pathGlobFilter", "[ab]*.webp").load(folder)
    kept = files.select("path", "content", struct(files.content.alias("bytes")).alias("image"))
    wanted = {photo.name: text for photo, text in zip(PHOTOS, expected) if photo.name[0] in "ab"}
    for column in ("path", "content", "image"):
        captioned = decap.spark.caption(kept, column, prefix="decap_", evidence=1, batch=4)
        told = captioned.select("path", "decap_caption", "decap_error").collect()
        assert {Path(row.path).name: row.decap_caption for row in told} == wanted, column
        assert [row.decap_error for row in told] == [None] * len(wanted)


def test_wrong_usage_is_an_input_error(spark):
    df = spark.createDataFrame([("a.jpg", "a")], "photo string, caption string")
    with pytest.raises(decap.InputError, match="expected a column `image`, got photo, caption"):
        decap.spark.caption(df, "image")
    with pytest.raises(decap.InputError, match="there is a column `caption` already"):
        decap.spark.caption(df, "photo")


def test_a_model_that_is_not_there_ends_the_job(spark):
    df = spark.createDataFrame([("a.jpg",)], "photo string")
    with pytest.raises(Exception, match="expected a folder"):
        decap.spark.caption(df, "photo", model="/no/such/model").collect()
