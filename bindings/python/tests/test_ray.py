"""Ray Data and shards on a local cluster of four workers, which are killed at random while they work."""

import io
import json
import os
import random
import signal
import sys
import tarfile
import threading
import time
from pathlib import Path

import numpy
import pytest

# An actor that was restarted waits half a minute for calls that died with the one before it.
os.environ.setdefault("RAY_actor_scheduling_queue_max_reorder_wait_seconds", "1")

import decap  # noqa: E402

ray = pytest.importorskip("ray", reason="needs ray: pip install 'decap-captioner[ray]'")
pytest.importorskip("ray.data", reason="needs ray[data]")

from ray.data.block import BlockAccessor  # noqa: E402

import decap.ray  # noqa: E402
from decap._rows import COLUMNS  # noqa: E402

PHOTOS = sorted((Path(__file__).resolve().parents[3] / "examples" / "photos").glob("*.webp"))
WORKERS = 4


@pytest.fixture(scope="module")
def cluster():
    # Workers cannot import this file.
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    ray.init(num_cpus=WORKERS, include_dashboard=False, log_to_driver=False, object_store_memory=200 << 20)
    ray.data.DataContext.get_current().enable_progress_bars = False
    yield
    ray.shutdown()


@pytest.fixture(scope="module")
def expected(captioner):
    """The captions of `PHOTOS`."""
    return [caption.text for caption in captioner.caption_batch(PHOTOS)]


class Mortal(decap.ray.Captioner):
    """Its process dies soon after it was given a batch, as often as there are files in `deaths`."""

    def __init__(self, column, deaths):
        super().__init__(column)
        self._deaths = Path(deaths)

    def __call__(self, batch):
        for death in self._deaths.iterdir():
            try:
                death.unlink()
            except FileNotFoundError:
                continue
            delay = random.Random(death.name).uniform(0, 0.5)
            threading.Timer(delay, os.kill, (os.getpid(), signal.SIGKILL)).start()
            break
        return super().__call__(batch)


def test_every_row_is_captioned_once_though_actors_are_killed(cluster, expected, tmp_path):
    for death in range(2):
        (tmp_path / str(death)).touch()
    photos = [str(path) for path in PHOTOS] + ["no-such-photo.jpg"]
    rows = [{"id": place, "photo": photos[place % len(photos)]} for place in range(3 * len(photos))]
    captioned = ray.data.from_items(rows, override_num_blocks=6).map_batches(
        Mortal,
        fn_constructor_args=["photo", str(tmp_path)],
        batch_format="pyarrow",
        batch_size=5,
        concurrency=3,
    )
    told = sorted(captioned.take_all(), key=lambda row: row["id"])
    assert list(tmp_path.iterdir()) == []
    assert [row["id"] for row in told] == list(range(len(rows)))
    for row in told:
        place = row["id"] % len(photos)
        if place < len(PHOTOS):
            assert (row["caption"], row["error"]) == (expected[place], None)
            assert row["photo"] == photos[place]
            assert len(row["evidence"]) == 3
            assert 0 < row["evidence"][0]["weight"] <= 1
        else:
            assert (row["caption"], row["score"], row["evidence"]) == (None, None, None)
            assert row["error"]["kind"] == "not_found"


def test_photos_are_bytes_structs_and_images_too(captioner, expected):
    pixels = numpy.zeros((2, 8, 8, 3), numpy.uint8)
    black = captioner.caption(pixels[0]).text
    cat = PHOTOS[5].read_bytes()
    rows = {
        "bytes": ([cat, b"none"], [expected[5], None]),
        "struct": ([{"bytes": cat, "path": None}, {"bytes": None, "path": str(PHOTOS[5])}], [expected[5]] * 2),
        "images": (list(pixels), [black, black]),
        "null": ([str(PHOTOS[5]), None], [expected[5], None]),
    }
    work = decap.ray.Captioner("photo", prefix="decap_")
    for name, (photos, captions) in rows.items():
        column = numpy.empty(len(photos), object)
        column[:] = photos
        numbers = {"photo": pixels if name == "images" else column}
        table = BlockAccessor.for_block(BlockAccessor.batch_to_block(numbers)).to_arrow()
        frame = BlockAccessor.for_block(table).to_pandas()
        for batch in (numbers, table, frame):
            told = work(batch)
            assert told.column_names == ["photo", *(f"decap_{it}" for it in COLUMNS)], (name, type(batch))
            assert told["decap_caption"].to_pylist() == captions, (name, type(batch))


def test_what_concerns_every_row_ends_the_job():
    with pytest.raises(decap.InputError, match="method: expected one of"):
        decap.ray.Captioner("photo", method="magic")
    with pytest.raises(decap.ModelError, match="expected a folder"):
        decap.ray.Captioner("photo", model="/no/such/model")
    batch = {"photo": numpy.array(["a.jpg"]), "caption": numpy.array(["a"])}
    with pytest.raises(decap.InputError, match="expected a column `image`, got photo, caption"):
        decap.ray.Captioner("image")(batch)
    with pytest.raises(decap.InputError, match="there is a column `caption` already"):
        decap.ray.Captioner("photo")(batch)


@pytest.fixture
def shards(tmp_path):
    """Archives of all photos and one that is broken, each in an order of its own."""
    made = []
    for place in range(4):
        path = tmp_path / "shards" / f"{place:03}.tar"
        path.parent.mkdir(exist_ok=True)
        files = [(f"{photo.stem}.webp", photo.read_bytes()) for photo in PHOTOS[:4]]
        files.insert(place % 5, ("broken.webp", files[0][1][:200]))
        with tarfile.open(path, "w") as archive:
            for name, content in files:
                member = tarfile.TarInfo(name)
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
        made.append((path, [name for name, _ in files]))
    return made


def programs(folder):
    """Processes that caption a shard into `folder`."""
    found = []
    for process in Path("/proc").iterdir():
        try:
            words = (process / "cmdline").read_bytes().split(b"\0") if process.name.isdigit() else []
            parent = int((process / "stat").read_text().rsplit(")", 1)[1].split()[1]) if words else 0
        except OSError:
            continue
        if b"caption-shard" in words and any(word.startswith(bytes(folder)) for word in words):
            found.append((int(process.name), parent))
    return found


def kill_at_random(folder, stop, killed):
    """Kills a program or the Ray worker that runs it, three times."""
    chance = random.Random(0)
    while len(killed) < 3 and not stop.is_set():
        time.sleep(chance.uniform(0.1, 0.6))
        if running := programs(folder):
            process = chance.choice(chance.choice(running))
            try:
                os.kill(process, signal.SIGKILL)
            except ProcessLookupError:
                continue
            killed.append(process)


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="needs /proc")
def test_every_photo_of_shards_is_captioned_once_though_workers_are_killed(cluster, expected, shards, tmp_path):
    out, stop, killed = tmp_path / "captions", threading.Event(), []
    killer = threading.Thread(target=kill_at_random, args=(out, stop, killed))
    killer.start()
    told = decap.ray.caption_shards([path for path, _ in shards], out, max_retries=20)
    stop.set()
    killer.join()
    assert killed
    captions = {f"{photo.stem}.webp": text for photo, text in zip(PHOTOS, expected)}
    for shard, (path, names) in zip(told, shards):
        assert (shard.input, shard.captioned, shard.failed, shard.error) == (str(path), 4, 1, None)
        lines = [json.loads(line) for line in Path(shard.output).read_text().splitlines()]
        assert [Path(line["path"]).name for line in lines] == names
        for line in lines:
            assert line.get("caption") == captions.get(Path(line["path"]).name)
    # What killed programs left unfinished is gone, or is not called an output.
    assert sorted(out.glob("*.jsonl")) == [out / f"{place:03}.jsonl" for place in range(4)]

    before = {path: path.stat().st_mtime_ns for path in out.glob("*.jsonl")}
    again = decap.ray.caption_shards(str(tmp_path / "shards" / "*.tar"), out)
    assert [shard.was_there for shard in again] == [True] * 4
    assert [(shard.captioned, shard.failed) for shard in again] == [(4, 1)] * 4
    assert {path: path.stat().st_mtime_ns for path in out.glob("*.jsonl")} == before


def test_a_shard_that_fails_stops_nothing(cluster, shards, tmp_path):
    (good, _), (other, _) = shards[:2]
    cut = tmp_path / "cut.tar"
    cut.write_bytes(good.read_bytes()[:9000])
    out = tmp_path / "captions"
    decap.ray.caption_shards([other], out, evidence=1)
    told = decap.ray.caption_shards([tmp_path / "none.tar", cut, good, other], out)
    assert told[2].error is None and told[2].captioned == 4
    assert "none.tar" in told[0].error
    assert "cut.tar" in told[1].error
    assert "made by another model or with other options" in told[3].error
    assert sorted(path.name for path in out.glob("*.jsonl")) == ["000.jsonl", "001.jsonl"]


def test_wrong_usage_of_shards_is_an_input_error(cluster, shards, tmp_path):
    path = shards[0][0]
    with pytest.raises(decap.InputError, match="expected one shard for each output, got 2"):
        decap.ray.caption_shards([path, tmp_path / "other" / "000.tar.gz"], tmp_path)
    with pytest.raises(decap.InputError, match="--magic"):
        decap.ray.caption_shards([path], tmp_path, magic=3)
    with pytest.raises(decap.InputError, match="expected shards, got none"):
        decap.ray.caption_shards(str(tmp_path / "*.zip"), tmp_path)
