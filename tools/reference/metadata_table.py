"""What exiftool reads in photos that decap wrote captions into, and what became of everything else: the table in docs/results.md.

    python tools/reference/metadata_table.py target/release/decap PHOTO...     # needs exiftool, Pillow and NumPy

Each photo is stored in each form with an ICC profile, an orientation, a position, a maker's note where exiftool can write
one, and other properties of XMP and IPTC. Then decap writes every place it knows, and takes it back. A cell counts the photos
in which exiftool reads the caption in that field; `-` where the form has no such place.
"""

import hashlib
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms

FORMS = {"JPEG": "jpg", "PNG": "png", "WebP": "webp", "TIFF": "tif", "GIF": "gif", "BMP": "bmp"}
FIELDS = {
    "XMP-dc:Description": "XMP description",
    "XMP-iptcCore:AltTextAccessibility": "XMP alt text",
    "IPTC:Caption-Abstract": "IPTC caption",
    "IFD0:ImageDescription": "EXIF description",
}
# What decap is there to change, what moves with it, and what the file system says.
CHANGES = (*FIELDS, "XMP-decap", "XMP-x:XMPToolkit", "File:", "System:", "ExifTool:", "SourceFile", "Composite:", "Photoshop:IPTCDigest")
OFFSETS = ("Offset", "StripOffsets", "CurrentIPTCDigest", "CodedCharacterSet", "ThumbnailOffset", "ExifByteOrder")


def exiftool(path):
    command = ["exiftool", "-json", "-G1", "-a", "-n", "-struct", str(path)]
    return json.loads(subprocess.run(command, check=True, capture_output=True).stdout)[0]


def pixels(path):
    with Image.open(path) as image:
        return hashlib.sha256(np.asarray(image.convert("RGBA")).tobytes()).hexdigest()


def others(told):
    """All that exiftool reads, less what is decap's to change."""
    return {
        name: value
        for name, value in told.items()
        if not name.startswith(CHANGES) and not name.endswith(OFFSETS) and ":UnknownIFD" not in name
    }


def store(photo, path):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    with Image.open(photo) as image:
        options = {"icc_profile": profile} if path.suffix in (".jpg", ".png", ".webp", ".tif") else {}
        image.convert("RGB").save(path, **options)
    tags = ["-Orientation#=6", "-GPSLatitude=47.5", "-GPSLatitudeRef=N", "-Make=Maker", "-DateTimeOriginal=2026:11:29 10:00:00"]
    tags += ["-XMP-dc:Creator=Ada", "-XMP-xmp:Rating=4", "-IPTC:City=Basel", "-Canon:OwnerName=Ada"]
    subprocess.run(["exiftool", "-q", "-q", "-m", "-overwrite_original", *tags, str(path)], check=False, capture_output=True)


def main():
    decap, photos = sys.argv[1], sys.argv[2:]
    rows = []
    for form, ending in FORMS.items():
        counts = dict.fromkeys([*FIELDS, "pixels", "others", "undone"], 0)
        has_place = dict.fromkeys(FIELDS, False)
        with tempfile.TemporaryDirectory() as folder:
            paths = [Path(folder) / f"{number}.{ending}" for number in range(len(photos))]
            for photo, path in zip(photos, paths):
                store(photo, path)
            before = [(path.read_bytes(), pixels(path), others(exiftool(path))) for path in paths]
            write = [decap, "caption", "--write", "xmp,iptc,exif", "--alt-text", "--json", *map(str, paths)]
            lines = subprocess.run(write, check=True, capture_output=True, text=True).stdout.splitlines()
            captions = [json.loads(line)["caption"] for line in lines]
            for path, (_, hash_before, others_before), caption in zip(paths, before, captions):
                told = exiftool(path)
                sidecar = path.with_name(path.name + ".xmp")
                told_beside = exiftool(sidecar) if sidecar.exists() else {}
                for field in FIELDS:
                    value = told.get(field, told_beside.get(field))
                    has_place[field] |= value is not None
                    counts[field] += value == caption
                counts["pixels"] += pixels(path) == hash_before
                counts["others"] += others(told) == others_before
            subprocess.run([decap, "caption", "--undo", *map(str, paths)], check=True, capture_output=True)
            counts["undone"] = sum(path.read_bytes() == content for path, (content, _, _) in zip(paths, before))
        cells = [str(counts[field]) if has_place[field] else "-" for field in FIELDS]
        rows.append([form, *cells, *(str(counts[name]) for name in ("pixels", "others", "undone"))])
    print(f"Of {len(photos)} photos in each form:\n")
    header = ["", *FIELDS.values(), "equal pixels", "equal other metadata", "equal bytes after --undo"]
    for row in [header, ["---"] * len(header), *rows]:
        print("| " + " | ".join(row) + " |")


if __name__ == "__main__":
    main()
