"""What the tests of the studies share: a tokenizer takes seconds."""

from __future__ import annotations

from pathlib import Path

import pytest
from studied import SMALL

from vigil.eval.study.training import make_tokenizer
from vigil.model.tokens import Tokenizer


@pytest.fixture(scope="session")
def study_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of runs in which the tokenizer of `SMALL` has been made."""
    folder = tmp_path_factory.mktemp("study")
    make_tokenizer(SMALL, folder)
    return folder


@pytest.fixture(scope="session")
def tokenizer(study_folder: Path) -> Tokenizer:
    """That tokenizer."""
    return make_tokenizer(SMALL, study_folder)
