"""What cannot be used: the kind of error, its words, and that it stops nothing else."""

import io
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import textwrap

import numpy
import pytest
from PIL import Image

import decap

PIXELS = numpy.zeros((8, 8, 3), numpy.uint8)


def closed_file():
    file = io.BytesIO(b"bytes")
    file.close()
    return file


def broken_lazy_image():
    whole = io.BytesIO()
    noise = numpy.random.default_rng(0).integers(0, 255, (64, 64, 3), numpy.uint8)
    Image.fromarray(noise).save(whole, "png")
    return Image.open(io.BytesIO(whole.getvalue()[:3000]))


class OnADevice:
    """As a tensor that the CPU cannot read."""

    def __array__(self, dtype=None, copy=None):
        raise TypeError("can't convert cuda:0 device type tensor to numpy")


BAD = {
    "grey": (PIXELS[:, :, 0], "unsupported", r"expected an array \[height, width, 3\], got \[8, 8\]"),
    "channels first": (PIXELS.transpose(2, 0, 1), "unsupported", r"put the channels last"),
    "a batch": (PIXELS[None], "unsupported", r"give each photo by itself"),
    "alpha": (numpy.zeros((8, 8, 4), numpy.uint8), "unsupported", r"got \[8, 8, 4\]"),
    "no pixels": (numpy.zeros((0, 8, 3), numpy.uint8), "empty", "at least one pixel"),
    "integers": (PIXELS.astype(numpy.int64), "unsupported", "expected an array of uint8.* got int64"),
    "text": (numpy.full((8, 8, 3), "a"), "unsupported", "expected an array of uint8"),
    "floats of 255": (PIXELS + numpy.float32(255), "unsupported", "expected floats from 0 to 1, got 255"),
    "normalised": (PIXELS - numpy.float32(1.8), "unsupported", "undo the normalisation"),
    "not a number": (numpy.full((8, 8, 3), numpy.nan), "unsupported", "got nan"),
    "closed file": (closed_file(), "io", "closed file"),
    "text file": (io.StringIO("text"), "unsupported", 'open it with mode "rb"'),
    "lazy image": (broken_lazy_image(), "damaged", "this PIL image cannot be decoded"),
    "image of floats": (Image.new("F", (8, 8)), "unsupported", "got F"),
    "tensor on a device": (OnADevice(), "unsupported", "move it to the CPU"),
    "no photo": (b"no photo at all", "unsupported", ""),
    "empty": (b"", "empty", ""),
    "missing": ("no-such-photo.jpg", "not_found", "no-such-photo.jpg"),
    "folder": (os.path.dirname(__file__), "io", ""),
    "nothing": (None, "unsupported", "got NoneType"),
    "number": (3, "unsupported", "got int"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_an_input_error(captioner, name):
    given, kind, words = BAD[name]
    with pytest.raises(decap.InputError, match=words) as raised:
        captioner.caption(given)
    if name != "folder":
        assert raised.value.kind == kind
    assert isinstance(raised.value, ValueError)


def test_good_and_bad_in_a_batch_have_one_result_each_in_order(captioner, cat):
    expected = captioner.caption(cat).text
    given = []
    for bad, _, _ in BAD.values():
        given += [bad, cat]
    results = captioner.caption_batch(given, batch=4)
    assert len(results) == len(given)
    for place, result in enumerate(results):
        if place % 2 == 1:
            assert (result.text, result.error) == (expected, None), place
        else:
            assert result.error is not None, place
            assert result.text == ""
            assert list(result.to_dict()) == ["path", "error"]
    assert str(results[0]).startswith("error: input 0: expected an array")


def test_embeddings_have_no_room_for_errors(captioner, cat):
    with pytest.raises(decap.InputError, match="input 1"):
        captioner.embed_images([cat, b"no photo"])


@pytest.mark.parametrize(
    "call",
    [
        lambda it: it.caption_batch("cat.jpg"),
        lambda it: it.caption_batch(b"bytes"),
        lambda it: it.with_memory("a cat"),
        lambda it: it.with_memory([]),
        lambda it: it.with_memory([3]),
        lambda it: it.embed_texts("a cat"),
        lambda it: it.caption(PIXELS, method="magic"),
        lambda it: it.caption_batch([PIXELS], batch=0),
        lambda it: it.caption_embeddings([[1.0, 2.0]]),
        lambda it: it.caption_embeddings(numpy.zeros((1, it.width))),
        lambda it: it.memory.search([1.0]),
        lambda it: decap.Captioner(precision="f64"),
    ],
)
def test_wrong_usage_is_an_input_error(captioner, call):
    with pytest.raises(decap.InputError, match="expected|at least one"):
        call(captioner)


def test_a_model_that_is_not_there_is_a_model_error(tmp_path):
    with pytest.raises(decap.ModelError, match="expected a folder"):
        decap.Captioner(tmp_path / "nowhere")
    with pytest.raises(decap.ModelError, match="expected a captioner") as raised:
        decap.Captioner(tmp_path)
    assert isinstance(raised.value, RuntimeError)


def test_a_captioner_outlives_its_folder(tmp_path, cat):
    models = cat.parents[2] / "models" / "tiny"
    folder = tmp_path / "model"
    shutil.copytree(models, folder)
    captioner = decap.Captioner(folder)
    expected = captioner.caption(cat)
    shutil.rmtree(folder)
    # What was opened is mapped.
    assert captioner.caption(cat) == expected
    with pytest.raises(decap.ModelError, match="expected a folder"):
        decap.Captioner(folder)


def _caption(photo, told):
    try:
        told.put(decap.Captioner().caption(photo).text)
    except decap.ModelError as error:
        told.put(str(error))


def _in_a_process(start, photo):
    context = multiprocessing.get_context(start)
    told = context.Queue()
    process = context.Process(target=_caption, args=(photo, told))
    process.start()
    answer = told.get(timeout=120)
    process.join()
    return answer


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_fork_after_use_is_told_and_spawn_works(captioner, cat):
    expected = captioner.caption(cat).text
    assert "was forked" in _in_a_process("fork", cat)
    assert _in_a_process("spawn", cat) == expected


def test_ctrl_c_ends_a_long_batch(cat):
    """In a process of its own, which is interrupted once it has begun."""
    program = f"""
        import itertools, sys, decap
        captioner = decap.Captioner()
        def photos():
            for place in itertools.count():
                if place == 12:
                    print("begun", flush=True)
                yield {str(cat)!r}
        try:
            captioner.caption_batch(photos(), batch=1)
        except KeyboardInterrupt:
            print("stopped", flush=True)
    """
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "begun\n"
    process.send_signal(signal.SIGINT)
    rest, _ = process.communicate(timeout=120)
    assert (rest, process.returncode) == ("stopped\n", 0)
