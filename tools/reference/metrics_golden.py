"""Write the golden files of caption-metrics' tests with pycocoevalcap 1.2 (Java needed).

    python tools/reference/metrics_golden.py crates/caption-metrics/tests/data

Reads references.json and predictions.json (invented captions) of that folder and writes
  golden.json   what pycocoevalcap prints for them, corpus and per image, and the tokens
  tokens.tsv    odd captions and their tokens, one JSON string each
"""

import json
import os
import random
import sys

from metrics_tokenizer import LINE_ENDS, WORDS, odd_strings, reference_tokens
from pycocoevalcap.bleu.bleu import Bleu
from pycocoevalcap.cider.cider import Cider
from pycocoevalcap.meteor.meteor import Meteor
from pycocoevalcap.rouge.rouge import Rouge
from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

NUM_ODD = 1500


def tokenized(captions):
    as_annotations = {key: [{"caption": text} for text in texts] for key, texts in captions.items()}
    return PTBTokenizer().tokenize(as_annotations)


def scores_of(references, predictions):
    references = {key: references[key] for key in references if key in predictions}
    predictions = {key: [predictions[key]] for key in references}
    references, predictions = tokenized(references), tokenized(predictions)
    corpus, images = {}, {key: {} for key in references}
    for names, scorer in [
        (["Bleu_1", "Bleu_2", "Bleu_3", "Bleu_4"], Bleu(4)),
        (["METEOR"], Meteor()),
        (["ROUGE_L"], Rouge()),
        (["CIDEr"], Cider()),
    ]:
        arguments = {"verbose": 0} if names[0] == "Bleu_1" else {}
        total, each = scorer.compute_score(references, predictions, **arguments)
        if len(names) == 1:
            total, each = [total], [each]
        for name, value, values in zip(names, total, each):
            corpus[name] = float(value)
            for key, one in zip(images, values):
                images[key][name] = float(one)
    return {"corpus": corpus, "images": images, "references": references, "predictions": predictions}


def odd_captions():
    choose = random.Random(7)
    phrases = [" ".join(choose.choice(WORDS) for _ in range(6)) for _ in range(200)]
    captions = list(WORDS) + phrases + odd_strings(NUM_ODD, 7)
    # The reference starts a line at other line ends: not comparable.
    return [caption for caption in captions if caption == caption.translate(LINE_ENDS) and "Σ" not in caption]


def main():
    folder = sys.argv[1]
    with open(os.path.join(folder, "references.json"), encoding="utf-8") as file:
        references = json.load(file)
    with open(os.path.join(folder, "predictions.json"), encoding="utf-8") as file:
        predictions = json.load(file)
    with open(os.path.join(folder, "golden.json"), "w", encoding="utf-8") as file:
        json.dump(scores_of(references, predictions), file, indent=0, ensure_ascii=False)
        file.write("\n")
    captions = odd_captions()
    with open(os.path.join(folder, "tokens.tsv"), "w", encoding="utf-8") as file:
        for caption, tokens in zip(captions, reference_tokens(captions)):
            file.write(json.dumps(caption) + "\t" + json.dumps(tokens) + "\n")


if __name__ == "__main__":
    main()
