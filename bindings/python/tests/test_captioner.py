"""Captions, embeddings and memories of sound input."""

import io
import os
import pickle
import threading

import numpy
import pytest
from PIL import Image

import decap
from decap._inputs import each_prepared


def test_a_caption_has_text_score_and_evidence(captioner, cat):
    caption = captioner.caption(cat)
    assert "cat" in str(caption)
    assert caption.score < 0
    assert len(caption.evidence) == 3
    assert repr(caption).startswith(f"Caption({caption.text!r}, score=")
    assert list(caption.to_dict()) == ["path", "caption", "score", "confidence", "evidence"]
    assert 0 <= caption.confidence <= 1
    assert caption.to_dict()["evidence"][0]["text"] == caption.evidence[0].text


class WithDlpack:
    """As a tensor of another library."""

    def __init__(self, array):
        self.array = array

    def __dlpack__(self, **options):
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self):
        return self.array.__dlpack_device__()


class WithArray:
    """As an image of another library."""

    def __init__(self, array):
        self.array = array

    def __array__(self, dtype=None, copy=None):
        return self.array


def test_every_form_of_a_photo_has_the_same_caption(captioner, cat):
    expected = captioner.caption(cat).text
    image = Image.open(cat)
    pixels = numpy.asarray(image.convert("RGB"))
    with cat.open("rb") as file:
        forms = [
            str(cat),
            cat.read_bytes(),
            bytearray(cat.read_bytes()),
            io.BytesIO(cat.read_bytes()),
            file,
            image,
            pixels,
            numpy.asfortranarray(pixels),
            pixels.astype(numpy.float32) / 255,
            WithArray(pixels),
            WithDlpack(pixels.copy()),
        ]
        captions = captioner.caption_batch(forms)
    assert [caption.error for caption in captions] == [None] * len(forms)
    assert {caption.text for caption in captions} == {expected}


@pytest.mark.parametrize("mode", ["RGBA", "P", "LA", "L", "I;16", "turned"])
def test_pil_images_are_read_as_their_files_are(captioner, tmp_path, mode):
    image = Image.new("RGBA", (64, 48), (10, 20, 30, 128))
    image.paste((200, 30, 30, 255), (5, 5, 40, 20))
    path, options = tmp_path / "photo.png", {}
    if mode == "I;16":
        image = Image.fromarray(numpy.asarray(image.convert("L")).astype(numpy.uint16) * 257)
    elif mode == "turned":
        exif = Image.Exif()
        exif[0x0112] = 6  # a quarter turn
        image, path, options = image.convert("RGB"), tmp_path / "photo.jpg", {"exif": exif}
    else:
        image = image.convert(mode)
    image.save(path, **options)
    of_file, of_pil = captioner.embed_images([path, Image.open(path)])
    assert float(of_file @ of_pil) > 0.9999


def test_a_batch_of_nothing_is_nothing(captioner):
    assert captioner.caption_batch([]) == []
    assert captioner.embed_images([]).shape == (0, captioner.width)
    assert captioner.embed_texts([]).shape == (0, captioner.width)


def test_a_batch_reads_an_iterator_no_further_ahead_than_it_needs(captioner, cat):
    ahead, most = 0, 0
    # A batch, what each loading thread holds and has ready, and some to spare.
    bound = 4 + 4 * (os.cpu_count() or 1) + 4

    def photos():
        nonlocal ahead
        for _ in range(3 * bound):
            ahead += 1
            yield cat

    def consume(*_):
        nonlocal ahead, most
        most = max(most, ahead)
        ahead -= 1

    captioner._native.caption_each(each_prepared(photos()), consume, 4)
    assert ahead == 0
    assert most <= bound


def test_what_the_callers_iterator_raises_is_raised(captioner, cat):
    def photos():
        yield cat
        raise RuntimeError("the disk is gone")

    with pytest.raises(RuntimeError, match="the disk is gone"):
        captioner.caption_batch(photos())


def test_embeddings_are_unit_vectors(captioner, cat):
    images = captioner.embed_images([cat, cat.read_bytes()])
    texts = captioner.embed_texts(["a cat", "a dog"])
    assert images.shape == texts.shape == (2, captioner.width)
    assert images.dtype == numpy.float32
    assert numpy.allclose(numpy.linalg.norm(images, axis=1), 1, atol=1e-5)
    assert float(images[0] @ texts[0]) > float(images[0] @ texts[1])


def test_a_projection_by_hand_has_the_same_evidence(captioner, cat):
    v = captioner.embed_images([cat])[0]
    m = captioner.memory.embeddings
    cosines = m @ v
    weights = numpy.exp((cosines - cosines.max()) / captioner.tau)
    weights /= weights.sum()
    heaviest = captioner.caption(cat).evidence[0]
    assert captioner.memory.texts[int(weights.argmax())] == heaviest.text
    assert abs(float(weights.max()) - heaviest.weight) < 0.02
    by_hand = captioner.caption_embeddings([weights @ m], method="visual")
    assert by_hand[0].text == captioner.caption(cat, rerank="none").text


def test_another_memory_changes_what_is_spoken_of(captioner, cat, tmp_path):
    texts = ["a tabby cat asleep", "a tram in the city", "a boat on a lake"]
    other = captioner.with_memory(texts)
    assert other.caption(cat).evidence[0].text == texts[0]
    assert captioner.caption(cat).evidence[0].text not in texts
    memory = decap.Memory.build(texts + texts[:1])
    assert (len(memory), memory.texts) == (3, texts)
    assert memory.search("a ship", 1)[0][0] == texts[2]
    assert memory.search(captioner.embed_texts(["a ship"])[0], 1)[0][0] == texts[2]
    memory.save(tmp_path / "memory")
    again = decap.Memory.open(tmp_path / "memory")
    assert numpy.array_equal(again.embeddings, memory.embeddings)
    assert captioner.with_memory(again).caption(cat) == other.caption(cat)
    with pytest.raises(decap.InputError, match="there is a memory already"):
        memory.save(tmp_path / "memory")


def test_methods_are_those_of_the_program(captioner, cat):
    retrieved = captioner.caption(cat, method="retrieval", evidence=1)
    assert retrieved.chosen_from == "memory"
    assert len(retrieved.evidence) == 1
    assert captioner.caption(cat, method="visual").evidence == ()
    assert captioner.run_key() == captioner.run_key()
    assert captioner.run_key() != captioner.run_key(method="visual")
    assert captioner.run_key() != captioner.run_key(beam=7)
    assert captioner.run_key() != captioner.run_key(rerank="none")
    with pytest.raises(decap.InputError, match="rerank: expected one of none, encoder, consensus"):
        captioner.caption(cat, rerank="magic")


def test_a_pickled_captioner_captions_alike(captioner, cat):
    other = captioner.with_memory(["a cat", "a dog"])
    assert pickle.loads(pickle.dumps(other)).caption(cat) == other.caption(cat)
    caption = captioner.caption_batch([b""])[0]
    again = pickle.loads(pickle.dumps(caption))
    assert (str(again), again.error.kind) == (str(caption), "empty")


def test_threads_share_a_captioner(captioner, cat):
    expected = captioner.caption(cat).text
    told = []

    def work():
        told.append([one.text for one in captioner.caption_batch([cat] * 3)])

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert told == [[expected] * 3] * 4


def test_it_answers_as_the_pipeline_of_transformers(captioner, cat):
    pipeline = decap.transformers_pipeline(captioner)
    expected = [{"generated_text": captioner.caption(cat).text}]
    assert pipeline(cat) == expected
    assert pipeline([cat, str(cat)]) == [expected, expected]
    with pytest.raises(decap.InputError):
        pipeline([cat, b"no photo"])
