"""What tests share: a store in a file of its own for each, and the HTTP side over a real socket."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from core import activity, settings
from core import store as stores
from tests.serving import serving


@pytest.fixture
def store(tmp_path: Path) -> Iterator[stores.Store]:
    """An empty store, which is the process's own while the test runs."""
    with stores.Store(tmp_path / "tracecast.duckdb") as opened:
        stores.use(opened)
        yield opened


@pytest.fixture
def fresh(store: stores.Store, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A store and counters of this test's own, and the settings of its own environment, without a token."""
    activity.reset()
    settings.current.cache_clear()
    monkeypatch.delenv("TRACECAST_API_TOKEN", raising=False)
    yield
    settings.current.cache_clear()


@pytest.fixture(scope="session")
def address() -> Iterator[str]:
    """Where the HTTP side answers, for as long as the tests run."""
    with serving() as address:
        yield address
