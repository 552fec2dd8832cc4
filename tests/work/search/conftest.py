from pathlib import Path

import pytest

from tests.work.search.client import write_notes


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Notes about different things, in a folder that the server may read."""
    return write_notes(tmp_path)
