"""Training, scores, and the program in the wheel."""

import json
import math
import subprocess
import sys
from importlib.metadata import version

import pytest

import decap

TEXTS = [
    f"a {size} {animal} {doing}"
    for size in ("small", "big", "brown")
    for animal in ("dog", "cat", "horse", "bird")
    for doing in ("sits on a chair", "runs on the grass", "sleeps in the sun")
]


def test_training_on_text_makes_a_captioner(tmp_path, cat):
    out = tmp_path / "model"
    trained = decap.train(TEXTS, out, from_="none", max_steps=20, width=64, layers=1, heads=2)
    assert trained.caption(cat).evidence[0].text in TEXTS
    assert len(decap.Memory.open(out)) == len(TEXTS)


def test_a_file_of_captions_is_read_by_the_programs_reader(tmp_path, cat):
    path = tmp_path / "captions.txt"
    path.write_text("\n".join(TEXTS))
    trained = decap.train(path, tmp_path / "model", from_="none", max_steps=2, width=64, layers=1, heads=2)
    assert len(trained.memory) == len(TEXTS)


@pytest.mark.parametrize(
    ("texts", "options", "words"),
    [
        ("a cat", {}, "expected a list"),
        ([], {}, "caption"),
        (TEXTS, {"max_steps": -1}, "--max-steps"),
        (TEXTS, {"presett": "fast"}, "--presett"),
    ],
)
def test_bad_options_of_training_are_input_errors(tmp_path, texts, options, words):
    with pytest.raises(decap.InputError, match=words):
        decap.train(texts, tmp_path / "model", **options)


def test_scores_have_the_fields_keys(tmp_path):
    references = {"1": ["A dog runs on the grass."], "2": ["Two cats sleep.", "Cats on a bed."]}
    predictions = {"1": "a dog runs", "2": "two cats sleep on a bed"}
    scores = decap.score(references, predictions)
    assert list(scores) == ["Bleu_1", "Bleu_2", "Bleu_3", "Bleu_4", "ROUGE_L", "CIDEr"]
    assert all(math.isfinite(value) for value in scores.values())
    assert decap.score(list(references.values()), list(predictions.values())) == scores
    files = tmp_path / "references.json", tmp_path / "predictions.json"
    for file, content in zip(files, (references, predictions)):
        file.write_text(json.dumps(content))
    assert decap.score(*files) == scores
    with pytest.raises(decap.InputError, match="id"):
        decap.score(references, {"1": "a dog runs"})
    assert decap.score(references, {"1": "a dog runs"}, allow_missing=True)["Bleu_1"] > 0
    with pytest.raises(decap.InputError, match="image 1"):
        decap.score(references, {"1": None})


def run(*words):
    done = subprocess.run([sys.executable, "-m", "decap", *words], capture_output=True, text=True, timeout=300)
    return done.returncode, done.stdout, done.stderr


def test_the_program_is_in_the_wheel(captioner, cat):
    assert run("--version") == (0, f"decap {decap.__version__}\n", "")
    assert version("decap-captioner") == decap.__version__
    code, told, _ = run("caption", str(cat), "--json")
    record = json.loads(told)
    caption = captioner.caption(cat)
    assert code == 0
    assert (record["caption"], record["path"]) == (caption.text, str(cat))
    ours = caption.to_dict()["evidence"]
    assert [one["text"] for one in record["evidence"]] == [one["text"] for one in ours]
    assert run("caption", "no-such-photo.jpg")[0] == 1
    assert run("capption")[0] == 2
