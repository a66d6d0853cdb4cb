"""Writes the small Parquet files of caption-data's tests, with the library that data sets are written with.

    pip install pyarrow==26.0.1
    python tools/reference/dataset_golden.py     # crates/caption-data/tests/data/*.parquet

`hub.parquet` is as `datasets` writes them: a struct of picture bytes and path, a list of captions a
row with nulls among them, other columns of text beside it, dictionaries, several row groups,
Snappy. The others have the same captions in each packing, encoding and version of pages.
"""

from pathlib import Path

import pyarrow
import pyarrow.parquet

OUT = Path(__file__).parents[2] / "crates/caption-data/tests/data"
ROWS = 6


def write_hub():
    picture = pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())])
    captions = [[f"a dog in picture {row}", f"caf\u00e9 {row}"] for row in range(ROWS)]
    captions[2] = []
    captions[3] = [None, "the second alone"]
    captions[4] = None
    table = pyarrow.table(
        {
            "image": pyarrow.array([{"bytes": b"\xff\xd8\xff", "path": f"{row}.jpg"} for row in range(ROWS)], picture),
            "filename": [f"{row}.jpg" for row in range(ROWS)],
            "caption": pyarrow.array(captions, pyarrow.list_(pyarrow.string())),
            "split": ["train"] * ROWS,
        }
    )
    pyarrow.parquet.write_table(table, OUT / "hub.parquet", row_group_size=4, compression="snappy")


def write_each():
    """Captions of twenty rows, of which every fifth is null and some are like the one before."""
    captions = [None if row % 5 == 4 else f"a dog runs over lawn {row // 2}" for row in range(20)]
    table = pyarrow.table({"caption": captions, "id": list(range(20))})
    forms = {
        "none_v1_dictionary": {"compression": "none"},
        "gzip_v1_plain": {"compression": "gzip", "use_dictionary": False},
        "gzip_v2_delta_length": {
            "compression": "gzip",
            "data_page_version": "2.0",
            "column_encoding": {"caption": "DELTA_LENGTH_BYTE_ARRAY"},
        },
        "snappy_v2_delta": {
            "compression": "snappy",
            "data_page_version": "2.0",
            "column_encoding": {"caption": "DELTA_BYTE_ARRAY"},
        },
        "zstd_v1_dictionary": {"compression": "zstd"},
        "zstd_v2_plain": {"compression": "zstd", "data_page_version": "2.0", "use_dictionary": False},
        "brotli": {"compression": "brotli"},
        "lz4": {"compression": "lz4"},
    }
    for name, options in forms.items():
        if "column_encoding" in options:
            options["use_dictionary"] = False
        pyarrow.parquet.write_table(
            table, OUT / f"{name}.parquet", row_group_size=12, store_schema=False, write_statistics=False, **options
        )


OUT.mkdir(parents=True, exist_ok=True)
write_hub()
write_each()
