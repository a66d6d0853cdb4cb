"""Cut METEOR's data down to what the test captions touch.

    python tools/reference/metrics_meteor_subset.py crates/caption-metrics/tests/data

Reads golden.json of that folder and pycocoevalcap 1.2's METEOR; writes meteor/meteor-1.5.jar
(a zip of word lists) and meteor/data/paraphrase-en.gz there. Scores of the test captions are the
same with the small files as with the whole ones.
"""

import gzip
import json
import os
import re
import sys
import zipfile

import pycocoevalcap.meteor.meteor as reference

WHOLE = ["function/english.words", "nonbreaking/english.prefixes", "synonym/COPYING.WORDNET"]
# WordNet's endings and their replacements, for the base forms of the words.
ENDINGS = [("s", ""), ("ses", "s"), ("xes", "x"), ("zes", "z"), ("ches", "ch"), ("shes", "sh"), ("men", "man"), ("ies", "y"), ("es", "e"), ("es", ""), ("ed", "e"), ("ed", ""), ("ing", "e"), ("ing", ""), ("er", ""), ("est", ""), ("er", "e"), ("est", "e")]
LONGEST_PHRASE = 7
# The same bytes from each run.
DATE = (2014, 1, 1, 0, 0, 0)


def captions_of(folder):
    with open(os.path.join(folder, "golden.json"), encoding="utf-8") as file:
        golden = json.load(file)
    for captions in list(golden["references"].values()) + list(golden["predictions"].values()):
        yield from captions


def pairs_of_lines(text):
    lines = text.split("\n")
    return zip(lines[0::2], lines[1::2])


def main():
    folder = sys.argv[1]
    words, phrases = set(), set()
    for caption in captions_of(folder):
        tokens = re.findall(r"'?[\w.]+|[^\w\s]", caption)
        words.update(tokens)
        for start in range(len(tokens)):
            for length in range(1, LONGEST_PHRASE + 1):
                phrases.add(" ".join(tokens[start : start + length]))
    source = os.path.dirname(os.path.abspath(reference.__file__))
    jar = zipfile.ZipFile(os.path.join(source, reference.METEOR_JAR))
    target = os.path.join(folder, "meteor")
    os.makedirs(os.path.join(target, "data"), exist_ok=True)

    text = {name: jar.read(name).decode("utf-8", "replace") for name in WHOLE}
    exceptions = [(base, forms) for base, forms in pairs_of_lines(jar.read("synonym/english.exceptions").decode()) if words & set(forms.split())]
    bases = {base for base, _ in exceptions}
    bases |= {word[: len(word) - len(ending)] + new for word in words for ending, new in ENDINGS if word.endswith(ending)}
    synsets = [(word, sets) for word, sets in pairs_of_lines(jar.read("synonym/english.synsets").decode()) if word in words | bases]
    text["synonym/english.exceptions"] = "".join(f"{a}\n{b}\n" for a, b in exceptions)
    text["synonym/english.synsets"] = "".join(f"{a}\n{b}\n" for a, b in synsets)
    with zipfile.ZipFile(os.path.join(target, reference.METEOR_JAR), "w", zipfile.ZIP_DEFLATED) as out:
        for name in sorted(text):
            out.writestr(zipfile.ZipInfo(name, DATE), text[name], zipfile.ZIP_DEFLATED)

    kept = 0
    with gzip.open(os.path.join(source, "data", "paraphrase-en.gz"), "rt", encoding="utf-8") as table:
        with open(os.path.join(target, "data", "paraphrase-en.gz"), "wb") as file:
            with gzip.GzipFile(fileobj=file, mode="wb", filename="", mtime=0) as out:
                for probability in table:
                    phrase, paraphrase = next(table), next(table)
                    if phrase.strip() in phrases and paraphrase.strip() in phrases:
                        out.write((probability + phrase + paraphrase).encode())
                        kept += 1
    print(f"{len(synsets)} words with synonyms, {len(exceptions)} exceptions, {kept} paraphrases", file=sys.stderr)


if __name__ == "__main__":
    main()
