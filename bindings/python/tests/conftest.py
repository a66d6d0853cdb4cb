"""What several tests use: one captioner, and the example photos."""

from pathlib import Path

import pytest

import decap

PHOTOS = Path(__file__).resolve().parents[3] / "examples" / "photos"


@pytest.fixture(scope="session")
def captioner() -> decap.Captioner:
    return decap.Captioner()


@pytest.fixture(scope="session")
def cat() -> Path:
    return PHOTOS / "cat.webp"
