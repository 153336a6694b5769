"""One thread, and the same examples on every machine."""

import pytest
import torch
from hypothesis import settings

from gander import judge

torch.set_num_threads(1)
settings.register_profile("gander", deadline=None, derandomize=True, max_examples=60)
settings.load_profile("gander")


@pytest.fixture
def quick(tmp_path, monkeypatch):
    """An empty working folder and cache, and a judge that learns for a few steps."""
    monkeypatch.setenv("GANDER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(judge, "STEPS", 6)
    monkeypatch.setattr(judge, "BATCH", 32)
    monkeypatch.chdir(tmp_path)
    return tmp_path
