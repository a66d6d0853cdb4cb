"""Time `decap score` against pycocoevalcap on one pair of files, everything but SPICE, in turns.

    cargo build --release -p decap-cli
    python tools/reference/metrics_speed.py target/release/decap meteor.bin REFERENCES PREDICTIONS --runs 3

REFERENCES is {"id": ["caption", ...]} and PREDICTIONS {"id": "caption"} (.json or .json.gz), meteor.bin what
`decap score --prepare-meteor` makes; `--size 5000x5` repeats or cuts them to so many images and references.
pycocoevalcap is timed without starting Python and importing it; decap from start to end of its process. The seconds of
all processors together tell them apart on a busy machine too; those of the clock want an idle one. Needs pycocoevalcap
1.2 and Java.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

from metrics_compare import load

CHILD = """
import json, sys, time
from metrics_golden import scores_of
references, predictions = (json.load(open(path, encoding="utf-8")) for path in sys.argv[1:])
start = time.time()
scores = scores_of(references, predictions)["corpus"]
print(json.dumps({"seconds": time.time() - start, "scores": scores}))
"""


def resized(references, predictions, size):
    images, count = (int(part) for part in size.split("x"))
    keys = [key for key in references if key in predictions]
    new_references, new_predictions = {}, {}
    for index in range(images):
        key = keys[index % len(keys)]
        captions = references[key]
        new_references[str(index)] = [captions[place % len(captions)] for place in range(count)]
        new_predictions[str(index)] = predictions[key]
    return new_references, new_predictions


def run(command):
    """Seconds from start to end, seconds of all processors, the largest resident MiB, and standard output."""
    start = time.time()
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.DEVNULL, cwd=os.path.dirname(os.path.abspath(__file__)))
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.time() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            sys.exit(f"{command[0]} ended with {process.returncode}")
        output.seek(0)
        return seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, output.read().decode()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("decap")
    parser.add_argument("meteor")
    parser.add_argument("references")
    parser.add_argument("predictions")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--size", default="5000x5")
    arguments = parser.parse_args()
    references, predictions = resized(load(arguments.references), load(arguments.predictions), arguments.size)
    with tempfile.TemporaryDirectory() as folder:
        paths = []
        for name, content in (("references", references), ("predictions", predictions)):
            paths.append(os.path.join(folder, name + ".json"))
            with open(paths[-1], "w", encoding="utf-8") as file:
                json.dump(content, file)
        ours = [os.path.abspath(arguments.decap), "score", "--references", paths[0], "--predictions", paths[1]]
        ours += ["--meteor", os.path.abspath(arguments.meteor), "--json"]
        times = {"decap": [], "pycocoevalcap": []}
        for _ in range(arguments.runs):
            seconds, processor, mebibytes, output = run(ours)
            times["decap"].append((seconds, processor))
            found = json.loads(output)
            print(f"decap {seconds:.2f} s ({processor:.2f} s of processors), {mebibytes:.0f} MiB", flush=True)
            _, processor, mebibytes, output = run([sys.executable, "-c", CHILD, *paths])
            answer = json.loads(output.strip().split("\n")[-1])
            times["pycocoevalcap"].append((answer["seconds"], processor))
            print(f"pycocoevalcap {answer['seconds']:.2f} s ({processor:.2f} s of processors), {mebibytes:.0f} MiB", flush=True)
    for name, value in answer["scores"].items():
        print(f"{name:8} {value:.8f} {found[name]:.8f}")
    for place, what in enumerate(("of the clock", "of processors")):
        ours, theirs = (statistics.median(pair[place] for pair in times[name]) for name in ("decap", "pycocoevalcap"))
        print(f"medians, seconds {what}: decap {ours:.2f}, pycocoevalcap {theirs:.2f}: {theirs / ours:.1f} times")


if __name__ == "__main__":
    main()
