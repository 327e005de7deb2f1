"""With `[auth]` in the secrets no page shows anything to a visitor who has not logged in."""

import importlib

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from core import settings
from core.settings import Settings
from tests.test_pages import APP, PAGES, empty  # noqa: F401 - a fixture

NAMED = {"client_id": "id", "client_secret": "secret", "server_metadata_url": "http://127.0.0.1:9/"}
COMMON = {"redirect_uri": "http://127.0.0.1:8501/oauth2callback", "cookie_secret": "secret"}


def visit(page, auth):
    app = AppTest.from_file(APP, default_timeout=60)
    app.secrets["auth"] = auth
    if page != "overview":
        app.switch_page(f"../../pages/{page}.py")
    return app.run()


@pytest.fixture
def login(monkeypatch, empty):  # noqa: F811
    told = Settings(login=True, api_token="token")
    monkeypatch.setattr(settings, "current", lambda: told)


@pytest.mark.parametrize("page", [*PAGES, "accuracy", "walkthrough"])
def test_a_visitor_who_is_not_logged_in_sees_a_way_to_log_in_and_nothing_else(login, page):
    app = visit(page, COMMON | NAMED)
    assert [title.value for title in app.title] == ["Log in to see this page"]
    assert [button.label for button in app.button] == ["Log in"]
    assert not app.exception
    assert not [*app.sidebar.selectbox, *app.markdown, *app.dataframe, *app.code]


def test_each_provider_has_its_button(login):
    app = visit("overview", COMMON | {"google": NAMED, "my-own": NAMED, "client_kwargs": {"prompt": "login"}})
    assert [button.label for button in app.button] == ["Log in with google", r"Log in with my\-own"]


def test_what_a_login_needs_is_installed():
    assert importlib.import_module("authlib.integrations.starlette_client").OAuth


def test_who_is_logged_in_sees_the_page_and_a_way_out(login, monkeypatch):
    monkeypatch.setattr(st, "user", {"is_logged_in": True})
    app = visit("sources", COMMON | NAMED)
    assert app.sidebar.button[0].label == "Log out"
    assert "Log in to see this page" not in [title.value for title in app.title]
    assert [button.proto.label for button in app.get("download_button")] == [
        "Download CSV"
    ]  # the routes ask for a token
    assert "Download CSV" not in [link.proto.label for link in app.get("link_button")]
