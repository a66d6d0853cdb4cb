"""The same photos through `decap serve` and through BLIP-base behind a small server, on the same cores, alternately.

    python beside_blip.py --decap DECAP --python PYTHON-WITH-TRANSFORMERS --photos FOLDER [--count 40] [--rounds 3]

Prints seconds until the first answer, seconds a photo one after the other, and peak memory, each the median of the rounds.
"""

import argparse
import http.client
import os
import statistics
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))


def request(port, method, path, body=None):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    connection.request(method, path, body, {"content-type": "image/jpeg"} if body else {})
    response = connection.getresponse()
    response.read()
    connection.close()
    return response.status


def peak_megabytes(process):
    with open(f"/proc/{process.pid}/status", encoding="ascii") as status:
        line = next(line for line in status if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def one_round(command, port, path, photos):
    began = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while True:
            try:
                if request(port, "POST", path, photos[0]) == 200:
                    break
            except OSError:
                pass
            time.sleep(0.01)
        start = time.monotonic() - began
        began = time.monotonic()
        for photo in photos:
            assert request(port, "POST", path, photo) == 200
        return start, (time.monotonic() - began) / len(photos), peak_megabytes(process)
    finally:
        process.terminate()
        process.wait()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("decap", "python", "photos"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--count", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    names = sorted(name for name in os.listdir(args.photos) if name.endswith((".jpg", ".webp")))[: args.count]
    photos = []
    for name in names:
        with open(os.path.join(args.photos, name), "rb") as file:
            photos.append(file.read())
    servers = {
        "decap serve": ([args.decap, "serve", "--listen", "127.0.0.1:8097"], 8097, "/v1/caption"),
        "BLIP-base, transformers": ([args.python, os.path.join(HERE, "blip_server.py"), "8096"], 8096, "/"),
    }
    found = {name: [] for name in servers}
    for _ in range(args.rounds):
        for name, (command, port, path) in servers.items():
            found[name].append(one_round(command, port, path, photos))
    print(f"{len(photos)} photos, {args.rounds} rounds\n\n| | first answer after | a photo | peak memory |\n|---|---|---|---|")
    for name, rounds in found.items():
        start, photo, memory = (statistics.median(column) for column in zip(*rounds))
        print(f"| {name} | {start:.1f} s | {photo:.3f} s | {memory:,.0f} MB |")
    print("\n" + "\n".join(f"{name}: {rounds}" for name, rounds in found.items()), file=sys.stderr)


if __name__ == "__main__":
    main()
