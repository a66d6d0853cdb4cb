"""The notebook of the examples runs to its end; it checks itself."""

from pathlib import Path

import pytest

pytest.importorskip("numpy")
nbclient = pytest.importorskip("nbclient", reason="needs nbclient: pip install 'decap-captioner[notebook]'")
nbformat = pytest.importorskip("nbformat", reason="needs nbformat: pip install 'decap-captioner[notebook]'")
pytest.importorskip("ipykernel", reason="needs ipykernel: pip install 'decap-captioner[notebook]'")

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"


def test_the_tour_runs():
    tour = nbformat.read(EXAMPLES / "tour.ipynb", as_version=4)
    assert all(not cell.get("outputs") for cell in tour.cells), "clear the outputs before you commit"
    nbclient.NotebookClient(
        tour, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(EXAMPLES)}}
    ).execute()
    printed = [output.text for cell in tour.cells for output in cell.get("outputs", []) if "text" in output]
    assert "cat" in printed[0]
    by_hand, by_decap = printed[-2].splitlines()
    assert by_hand == by_decap
