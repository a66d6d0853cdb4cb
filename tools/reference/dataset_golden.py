"""Writes a small Parquet file in the shape of the Hub's image and caption data sets.

    pip install pyarrow==26.0.1
    python tools/reference/dataset_golden.py     # crates/decap/tests/data/dataset/hub.parquet

As `datasets` writes them: a struct of picture bytes and path, a list of captions a row with nulls
among them, other columns of text beside it, dictionaries, several row groups, Snappy.
"""

from pathlib import Path

import pyarrow
import pyarrow.parquet

OUT = Path(__file__).parents[2] / "crates/decap/tests/data/dataset/hub.parquet"
ROWS = 6


def main():
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
    OUT.parent.mkdir(parents=True, exist_ok=True)
    pyarrow.parquet.write_table(table, OUT, row_group_size=4, compression="snappy")


main()
