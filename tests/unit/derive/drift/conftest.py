"""A model whose live values are held against a reference."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.drift_model import DriftedModel


@pytest.fixture
def model(tmp_path: Path) -> DriftedModel:
    return DriftedModel(tmp_path)
