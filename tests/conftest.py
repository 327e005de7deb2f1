"""What tests share: a store in a file of its own for each, and the HTTP side over a real socket."""

from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
import streamlit as st
from streamlit.components.v2 import manifest_scanner

from core import activity, pulls, settings
from core import store as stores
from core.ingest import xray, xray_pulls
from tests.serving import serving
from tests.xray_double import XRayDouble

SECRETS = {
    "AWS_ACCESS_KEY_ID": "AKIDSECRETSECRET",
    "AWS_SECRET_ACCESS_KEY": "wJalrSECRET",
    "AWS_SESSION_TOKEN": "IQoJSECRETTOKEN",
}


@pytest.fixture(scope="session", autouse=True)
def _components_looked_for_once() -> Iterator[None]:
    """Each run of a page in a test has a runtime of its own, which would look through all installed packages again."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(manifest_scanner, "scan_component_manifests", cache(manifest_scanner.scan_component_manifests))
        yield


@pytest.fixture
def store(tmp_path: Path) -> Iterator[stores.Store]:
    """An empty store, which is the process's own while the test runs; nothing is counted, and nothing remembered of
    another: queries remember by the version of a source, which is that of one store.
    """
    with stores.Store(tmp_path / "tracecast.duckdb") as opened:
        stores.use(opened)
        activity.reset()
        st.cache_data.clear()
        st.cache_resource.clear()
        yield opened


@pytest.fixture
def fresh(store: stores.Store, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A store of this test's own, and the settings of its own environment, without a token."""
    settings.current.cache_clear()
    monkeypatch.delenv("TRACECAST_API_TOKEN", raising=False)
    yield
    settings.current.cache_clear()


@pytest.fixture(scope="session")
def address() -> Iterator[str]:
    """Where the HTTP side answers, for as long as the tests run."""
    with serving() as address:
        yield address


@pytest.fixture(scope="session")
def _xray() -> Iterator[XRayDouble]:
    with XRayDouble() as serving:
        yield serving


@pytest.fixture
def double(_xray: XRayDouble, monkeypatch: pytest.MonkeyPatch) -> XRayDouble:
    """X-Ray's double, which holds nothing yet and has been asked nothing; credentials, and no long waits."""
    for name in ("AWS_PROFILE", "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(xray, "_PAUSE_S", 0.001)
    monkeypatch.setattr(xray_pulls, "_TICK_S", 0.02)
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0.001)
    activity.reset()
    pulls.reset()
    _xray.forget()
    return _xray
