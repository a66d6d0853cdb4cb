"""Fine-tunes the back of EfficientNet-lite, from cached front maps, to say what is where and in what words.

Losses, all on views of training photos (never a dev or test photo):
  heat      per cell and class, the teachers' score of a box centred there (quality focal loss)
  size      the same times the square root of the box area
  pooled    cross-entropy of the strongest cell a class; log of the summed scores a class
  words     the captions' commonest words
  joint     a photo's vector against MiniLM vectors of its captions among 2,048 captions of others
  classes   the ImageNet logits stay what the untouched network said
The learning rate follows a cosine over the steps.
"""

import argparse
import collections
import json
import multiprocessing
import os
import re
import time

import numpy as np
import torch
from torch.nn import functional as F

from network import SUM_FLOOR, THINGS, Back, load_imagenet
from photos import COCO_SETS, read_photos
from views import open_store

STOP = set("a an the of in on at to and with is are it its his her their there this that by for from as some".split())


def stems(sentence):
    """Lower-case words, plural s cut, stop words out."""
    words = re.findall(r"[a-z]+", sentence.lower())
    return {w[:-1] if len(w) > 3 and w.endswith("s") and not w.endswith("ss") else w for w in words if w not in STOP}


def word_targets(photos, count):
    """`[photos, count]`: the share of a photo's captions with the word; and which photos have any."""
    human = [p["captions"] if p["set"] not in ("visual7w_qa", "imagenet1k_sample") else [] for p in photos]
    seen = collections.Counter(w for p, c in zip(photos, human) if p["role"] == "train" for s in c for w in stems(s))
    words = [w for w, _ in seen.most_common(count)]
    column = {w: i for i, w in enumerate(words)}
    targets = np.zeros((len(photos), count), np.float32)
    for row, captions in enumerate(human):
        for sentence in captions:
            for word in stems(sentence):
                if word in column:
                    targets[row, column[word]] += 1 / len(captions)
    return words, targets, np.array([len(c) for c in human])


class Detections:
    """What the teachers saw, turned into target maps for a view."""

    def __init__(self, folder, teachers, ids, cells):
        self.cells, self.parts = cells, []
        for teacher in teachers:
            file = np.load(os.path.join(folder, teacher + ".npz"))
            assert list(file["ids"]) == ids
            rows = file["detections"].astype(np.float32)
            if teacher.endswith("_mirror"):
                rows[:, 0] = 1 - rows[:, 0]
            self.parts.append((rows, file["starts"]))

    def maps(self, photo, geometry):
        """`[2, 80, cells, cells]`: score and score times root area, mean over teachers, in the view."""
        out = np.zeros((2, THINGS, self.cells, self.cells), np.float32)
        x0, y0, width, height, mirrored = geometry
        for rows, starts in self.parts:
            r = rows[starts[photo] : starts[photo + 1]]
            # Boxes are cut to the photo first: their centres must not lie outside it.
            left, right = np.clip(r[:, 0] - r[:, 2] / 2, 0, 1), np.clip(r[:, 0] + r[:, 2] / 2, 0, 1)
            top, bottom = np.clip(r[:, 1] - r[:, 3] / 2, 0, 1), np.clip(r[:, 1] + r[:, 3] / 2, 0, 1)
            area = (right - left) * (bottom - top)
            left, right = np.clip((left - x0) / width, 0, 1), np.clip((right - x0) / width, 0, 1)
            top, bottom = np.clip((top - y0) / height, 0, 1), np.clip((bottom - y0) / height, 0, 1)
            seen = (right - left) * (bottom - top)
            # A thing of which the view shows less than a third is not asked for.
            keep = seen * width * height > 0.33 * area
            x, y = (left + right)[keep] / 2, (top + bottom)[keep] / 2
            if mirrored:
                x = 1 - x
            cx = np.minimum((x * self.cells).astype(int), self.cells - 1)
            cy = np.minimum((y * self.cells).astype(int), self.cells - 1)
            label, score = r[keep, 4].astype(int), r[keep, 5]
            one = np.zeros_like(out)
            np.maximum.at(one[0], (label, cy, cx), score)
            np.maximum.at(one[1], (label, cy, cx), score * np.sqrt(seen[keep]))
            out += one / len(self.parts)
        return out


def quality_focal(logits, targets):
    """Quality focal loss (Li et al. 2020, eq. 6, beta 2), summed, over the sum of the targets."""
    cross = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    return ((logits.sigmoid() - targets).square() * cross).sum() / (targets.sum() + 1.0)


class Batches:
    def __init__(self, args, photos, store, middle_store, detections, captions):
        self.photos, self.store, self.detections = photos, store, detections
        self.caption_rows, self.caption_vectors, self.words, self.caption_counts = captions
        self.middle_store = middle_store
        self.random = np.random.default_rng(args.seed)
        weight = {"visual7w_qa": args.weak_weight, "imagenet1k_sample": 0.5}
        self.weight = np.array([weight.get(p["set"], 1.0) if p["role"] == "train" else 0.0 for p in photos])

    def draw(self, size):
        usable = self.weight * (np.asarray(self.store["done"]).sum(0) > 0)
        rows = self.random.choice(len(self.photos), size, replace=False, p=usable / usable.sum())
        views = [self.random.choice(np.flatnonzero(self.store["done"][:, r])) for r in rows]
        return rows, views

    def middle(self, model, rows, views):
        """The map after the frozen middle stages, `[batch, channels, side/16, side/16]`, computed once a view."""
        missing = [i for i, (r, v) in enumerate(zip(rows, views)) if not self.middle_store["done"][v, r]]
        if missing:
            fronts = np.stack([self.store["front"][views[i], rows[i]] for i in missing])
            with torch.no_grad():
                maps = model.middle(torch.from_numpy(fronts).float().permute(0, 3, 1, 2)).permute(0, 2, 3, 1).numpy()
            for i, one in zip(missing, maps):
                self.middle_store["map"][views[i], rows[i]] = one
                self.middle_store["done"][views[i], rows[i]] = 1
        maps = np.stack([self.middle_store["map"][v, r] for r, v in zip(rows, views)])
        return torch.from_numpy(maps).float().permute(0, 3, 1, 2)

    def load(self, model, rows, views):
        pooled = torch.from_numpy(np.stack([self.store["pooled"][v, r] for r, v in zip(rows, views)])).float()
        maps = np.stack([self.detections.maps(r, self.store["geometry"][v, r]) for r, v in zip(rows, views)])
        return {
            "middle": self.middle(model, rows, views),
            "pooled": pooled,
            "maps": torch.from_numpy(maps),
            "words": torch.from_numpy(self.words[rows]),
            "has_words": torch.from_numpy((self.caption_counts[rows] > 0).astype(np.float32)),
        }

    def contrast(self, rows, negatives):
        """Caption vectors: each row's own first, then others; and whose they are `[rows, captions]`."""
        own = [self.caption_rows[r] for r in rows]
        flat = [c for captions in own for c in captions]
        if not flat:
            return None
        mine = torch.zeros(len(rows), len(flat) + negatives, dtype=torch.bool)
        column = 0
        for r, captions in enumerate(own):
            mine[r, column : column + len(captions)] = True
            column += len(captions)
        others = self.random.integers(0, len(self.caption_vectors), negatives)
        return torch.from_numpy(self.caption_vectors[np.concatenate([flat, others])]).float(), mine


def losses(out, batch, contrast, text, original, args, half):
    heat_t, size_t = batch["maps"].unbind(1)
    strongest_t = heat_t.amax((2, 3))
    total_t = (heat_t.sum((2, 3)) + SUM_FLOOR).log()
    parts = {
        "heat": quality_focal(out["heat"], heat_t),
        "size": 0.5 * quality_focal(out["size"], size_t),
        "strongest": 0.2 * F.binary_cross_entropy_with_logits(out["strongest"], strongest_t, reduction="none").sum(1).mean(),
        "total": 4.0 * F.smooth_l1_loss(out["total"], total_t, beta=0.3),
    }
    if args.words_weight[half]:
        cross = F.binary_cross_entropy_with_logits(out["words"], batch["words"], reduction="none").sum(1)
        parts["words"] = args.words_weight[half] * (cross * batch["has_words"]).sum() / (batch["has_words"].sum() + 1e-6)
    if args.joint_weight[half] and contrast is not None:
        vectors, mine = contrast
        scores = F.normalize(out["joint"], dim=-1) @ F.normalize(text(vectors), dim=-1).T / 0.07
        captioned = mine.any(1)
        log_prob = scores.logsumexp(1) - scores.masked_fill(~mine, -1e4).logsumexp(1)
        parts["joint"] = args.joint_weight[half] * log_prob[captioned].mean()
    if args.classes_weight:
        soft = original(batch["pooled"]).softmax(-1)
        parts["classes"] = args.classes_weight * F.kl_div(out["classes"].log_softmax(-1), soft, reduction="batchmean")
    return parts


@torch.no_grad()
def judge(model, batches, rows):
    """On dev photos: correlation of strongest and total with the teachers', mean loss of the heat."""
    model.eval()
    got, want, heat, view = [], [], [], [0]
    for start in range(0, len(rows), 40):
        chunk = rows[start : start + 40]
        batch = batches.load(model, chunk, [0] * len(chunk))
        out = model(batch["middle"])
        heat_t = batch["maps"][:, 0]
        heat.append(quality_focal(out["heat"], heat_t).item())
        got.append(torch.stack([out["strongest"].sigmoid(), out["total"]], 1))
        want.append(torch.stack([heat_t.amax((2, 3)), (heat_t.sum((2, 3)) + SUM_FLOOR).log()], 1))
    got, want = torch.cat(got), torch.cat(want)
    present = want[:, 0] > 0.4
    order = got[:, 0][present].mean().item()
    centred = [x - x.mean(0) for x in (got, want)]
    r = (centred[0] * centred[1]).sum((0, 2)) / (centred[0].square().sum((0, 2)) * centred[1].square().sum((0, 2))).sqrt()
    return {"dev_heat": float(np.mean(heat)), "dev_r_max": r[0].item(), "dev_r_sum": r[1].item(), "dev_present": order}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", required=True)
    parser.add_argument("--views", required=True, help="folder made by views.py")
    parser.add_argument("--teachers", required=True, help="folder made by teachers.py")
    parser.add_argument("--texts", required=True, help="folder made by texts.py")
    parser.add_argument("--out", required=True)
    parser.add_argument("--net", default="lite0")
    parser.add_argument("--side", type=int, default=288)
    parser.add_argument("--num-views", type=int, default=4)
    parser.add_argument("--teacher-names", nargs="+", default=["yolox"])
    parser.add_argument("--steps", type=int, default=1000, help="of each process")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--learning-rate", type=float, default=3e-4)
    parser.add_argument("--new-learning-rate", type=float, default=1e-3)
    parser.add_argument("--weight-decay", type=float, default=0.02)
    parser.add_argument("--num-words", type=int, default=500)
    parser.add_argument("--joint-width", type=int, default=256)
    halves = {"type": float, "nargs": 2, "metavar": ("FIRST", "SECOND")}
    parser.add_argument("--words-weight", **halves, default=(0.05, 0.03), help="in the first and the second half of the steps")
    parser.add_argument("--joint-weight", **halves, default=(0.2, 0.05), help="likewise: it soon fits the training captions by heart")
    parser.add_argument("--classes-weight", type=float, default=0.2)
    parser.add_argument("--weak-weight", type=float, default=0.5)
    parser.add_argument("--negatives", type=int, default=2048)
    parser.add_argument("--average", type=float, default=0.998)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--start-from", help="checkpoint whose weights to begin with")
    parser.add_argument("--processes", type=int, default=2)
    args = parser.parse_args()
    os.makedirs(args.out, exist_ok=True)
    torch.set_num_threads(1)
    torch.manual_seed(args.seed)
    model = Back(load_imagenet(args.net), args.num_words, args.joint_width).to(memory_format=torch.channels_last)
    text = torch.nn.Linear(384, args.joint_width)
    checkpoint = os.path.join(args.out, "last.pt")
    state = torch.load(checkpoint, weights_only=False) if args.resume and os.path.exists(checkpoint) else None
    if state:
        model.load_state_dict(state["model"])
        text.load_state_dict(state["text"])
    elif args.start_from:
        start = torch.load(args.start_from, weights_only=False)
        model.load_state_dict(start["average"])
        text.load_state_dict(start["text"])
    model.middle.requires_grad_(False)
    open_middle(args, len(read_photos(os.path.join(args.data, "pairs"), cache=os.path.join(args.views, "fingerprints.npy"))), len(model.middle[-1].project.bias))
    model.share_memory()
    text.share_memory()
    spawn = multiprocessing.get_context("spawn")
    begun = time.time() - (state["spent"] if state else 0.0)
    others = [spawn.Process(target=train, args=(rank, args, model, text, begun, state)) for rank in range(1, args.processes)]
    for other in others:
        other.start()
    train(0, args, model, text, begun, state)
    for other in others:
        other.join()


def open_middle(args, photos, channels):
    """Memory maps for the frozen middle's output; emptied by a fresh start, for its weights may differ."""
    cells, maps = args.side // 16, {}
    shapes = {"map": (np.float16, (args.num_views, photos, cells, cells, channels)), "done": (np.uint8, (args.num_views, photos))}
    for name, (dtype, shape) in shapes.items():
        path = os.path.join(args.out, f"middle_{name}.npy")
        if not os.path.exists(path):
            np.lib.format.open_memmap(path, "w+", dtype, shape).flush()
        maps[name] = np.load(path, mmap_mode="r+")
    return maps


def train(rank, args, model, text, begun, state):
    """One of the processes that update the shared weights without locks (Hogwild, Niu et al. 2011): on a busy
    machine two processes of one thread wait for nobody, two threads of one process wait for each other."""
    torch.set_num_threads(1)
    args.seed += rank + (1000 + state["step"] if state else 0)
    torch.manual_seed(args.seed)
    checkpoint = os.path.join(args.out, "last.pt")
    photos = read_photos(os.path.join(args.data, "pairs"), cache=os.path.join(args.views, "fingerprints.npy"))
    width = model.classes.in_features
    front_shape = np.load(os.path.join(args.views, "front.npy"), mmap_mode="r").shape
    store = open_store(args.views, len(photos), args.num_views, args.side, front_shape[-1], width, mode="r")
    detections = Detections(args.teachers, args.teacher_names, [p["id"] for p in photos], args.side // 16)
    words, targets, counts = word_targets(photos, args.num_words)
    with open(os.path.join(args.texts, "pairs.txt"), encoding="utf-8") as lines:
        row_of = {line.rstrip("\n"): i for i, line in enumerate(lines)}
    vectors = np.load(os.path.join(args.texts, "pairs.npy"))
    learnable = [p["role"] == "train" and p["set"] not in ("visual7w_qa", "imagenet1k_sample") for p in photos]
    used = sorted({row_of[c] for p, ok in zip(photos, learnable) if ok for c in p["captions"]})
    compact = {row: i for i, row in enumerate(used)}
    caption_rows = [[compact[row_of[c]] for c in p["captions"]] if ok else [] for p, ok in zip(photos, learnable)]
    channels = len(model.middle[-1].project.bias)
    middle_store = open_middle(args, len(photos), channels)
    batches = Batches(args, photos, store, middle_store, detections, (caption_rows, vectors[used], targets, counts))
    dev = [i for i, p in enumerate(photos) if p["role"] == "dev"]

    original = load_imagenet(args.net)._fc.requires_grad_(False)
    model.train()
    fresh = [p for n, p in model.named_parameters() if n.split(".")[0] in ("lateral4", "lateral5", "mix", "mix2", "things", "words", "joint")]
    fresh += list(text.parameters())
    known = {id(p) for p in fresh}
    tuned = [p for p in model.parameters() if p.requires_grad and id(p) not in known]
    groups = [{"params": tuned, "peak": args.learning_rate}, {"params": fresh, "peak": args.new_learning_rate}]
    optimizer = torch.optim.AdamW(groups, lr=0.0, fused=True, weight_decay=args.weight_decay, betas=(0.9, 0.99))
    average = {k: v.clone() for k, v in model.state_dict().items()}
    step = 0
    if state:
        optimizer.load_state_dict(state["optimizer"])
        average, step = state["average"], state["step"]
    log = open(os.path.join(args.out, "metrics.jsonl"), "a") if rank == 0 else None
    saved, sums = time.time(), collections.Counter()
    while True:
        spent = time.time() - begun
        part = min(1.0, (step + 1) / args.steps)
        rate = min(1.0, (step + 1) / 150) * (0.02 + 0.98 * 0.5 * (1 + np.cos(np.pi * part)))
        for group in optimizer.param_groups:
            group["lr"] = rate * group["peak"]
        rows, views = batches.draw(args.batch)
        batch = batches.load(model, rows, views)
        parts = losses(model(batch["middle"]), batch, batches.contrast(rows, args.negatives), text, original, args, half=int(part > 0.5))
        loss = sum(parts.values())
        optimizer.zero_grad()
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        if torch.isfinite(norm):
            optimizer.step()
        step += 1
        if rank > 0:
            if part >= 1.0:
                break
            continue
        if step % 4 == 0:
            keep = min(args.average**4, 1 - 4 / (step + 4))
            with torch.no_grad():
                for name, value in model.state_dict().items():
                    average[name].lerp_(value, 1 - keep)
        for name, value in parts.items():
            sums[name] += value.item()
        sums["norm"] += norm.item()
        over = part >= 1.0
        if step % 50 == 0 or over:
            line = {"step": step, "minutes": round(spent / 60, 2), "images_s": round(args.processes * step * args.batch / (spent + 1e-9), 1), "rate": round(rate, 4)}
            line |= {k: round(v / 50, 4) for k, v in sums.items()}
            sums.clear()
            if step % 400 == 0 or over:
                averaged = Back(load_imagenet(args.net), args.num_words, args.joint_width)
                averaged.load_state_dict(average)
                line |= {k: round(v, 4) for k, v in judge(averaged, batches, dev).items()}
            print(json.dumps(line), file=log, flush=True)
        if time.time() - saved > 240 or over:
            saved = time.time()
            state = {"model": model.state_dict(), "text": text.state_dict(), "optimizer": optimizer.state_dict()}
            state |= {"average": average, "step": step, "spent": spent, "words": words, "args": vars(args)}
            torch.save(state, checkpoint + ".part")
            os.replace(checkpoint + ".part", checkpoint)
        if over:
            break


if __name__ == "__main__":
    main()
