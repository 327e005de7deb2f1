"""What every test gets fresh: a store in a file of its own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from core import store as stores


@pytest.fixture
def store(tmp_path: Path) -> Iterator[stores.Store]:
    """An empty store, which is the process's own while the test runs."""
    with stores.Store(tmp_path / "tracecast.duckdb") as opened:
        stores.use(opened)
        yield opened
