"""What projection, query expansion and gap shift do to real CLIP ViT-B/32 embeddings: no weights are needed.

    python projection_on_clip.py DATA/clip_vitb32/flickr8k_100

The folder holds `image_emb.npy` [photos, 512], `text_emb.npy` [captions, 512] and `text_rows.json`, whose `image_row`
names each caption's photo. A photo is projected onto the captions of all other photos, and judged by the mean cosine
of the result with its own captions. Needs numpy alone.
"""

import json
import os
import sys

import numpy as np


def unit(rows):
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def project(query, memory, tau):
    """DeCap, equation 5."""
    scores = memory @ query / tau
    weights = np.exp(scores - scores.max())
    return unit(weights @ memory)


def main(folder):
    photos = unit(np.load(os.path.join(folder, "image_emb.npy")).astype(np.float32))
    texts = unit(np.load(os.path.join(folder, "text_emb.npy")).astype(np.float32))
    with open(os.path.join(folder, "text_rows.json"), encoding="utf-8") as file:
        owner = np.array(json.load(file)["image_row"])
    cosines = photos @ texts.T
    own = np.array([cosines[photo, owner == photo].mean() for photo in range(len(photos))])
    others = np.array([cosines[photo, owner != photo].mean() for photo in range(len(photos))])
    nearest = owner[cosines.argmax(1)]
    mates = [(texts[owner == photo][0] @ texts[owner == photo][1:].T).mean() for photo in range(len(photos))]
    shift = texts.mean(0) - photos.mean(0)
    print(f"distance of the means of photos and captions  {np.linalg.norm(shift):.3f}")
    print(f"cosine of a photo with its captions           {own.mean():.3f}, with others {others.mean():.3f}")
    print(f"cosine of a caption with the photo's others   {np.mean(mates):.3f}")
    print(f"nearest of all captions is the photo's own    {(nearest == np.arange(len(photos))).mean():.2f}")
    print("| tau | projection | query expansion .5 | gap shift | a caption's projection |")
    print("|---|---|---|---|---|")
    for tau in (0.005, 0.01, 0.02, 0.03, 0.05):
        found = []
        for photo in range(len(photos)):
            memory, captions, query = texts[owner != photo], texts[owner == photo], photos[photo]
            projected = project(query, memory, tau)
            expanded = project(unit(query + 0.5 * projected), memory, tau)
            shifted = project(unit(query + shift), memory, tau)
            of_caption = project(captions[0], memory, tau)
            means = [(captions @ vector).mean() for vector in (projected, expanded, shifted)]
            found.append([*means, (captions[1:] @ of_caption).mean()])
        print(f"| {tau} | " + " | ".join(f"{value:.3f}" for value in np.mean(found, 0)) + " |")


if __name__ == "__main__":
    main(*sys.argv[1:])
