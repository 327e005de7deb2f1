"""Which room knows which: the import table of the design, held by a test."""

import ast
import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

ALL = {
    "access", "activity", "analysis", "api", "errors", "export", "ingest", "queries", "question", "service", "settings",
    "spans", "store", "view", "workers",
}  # fmt: skip
MAY_IMPORT = {
    "errors": set(),
    "settings": {"errors"},
    "spans": {"errors"},
    "question": {"errors", "settings"},
    "activity": {"errors"},
    "store": {"spans", "settings", "errors"},
    "ingest": {"spans", "store", "activity", "settings", "errors"},
    "analysis": {"errors", "spans", "question"},
    "workers": {"errors"},
    "access": {"settings", "errors"},
    "queries": {"question", "analysis", "store", "activity", "workers", "settings", "errors"},
    "export": {"errors"},
    "api": ALL - {"service", "view"},
    "service": ALL - {"view"},
    "view": {"question", "queries", "export", "activity", "access", "settings", "errors"},
    "pages": {"view", "queries"},
    "streamlit_app": {"service", "api", "errors"},
}
MAY_IMPORT_STREAMLIT = {"queries", "view", "pages", "streamlit_app"}
PARTS = {  # rooms that are more than one file
    "body": "api",
    **dict.fromkeys(["aggregates", "ahead", "asked", "backtests", "causes", "downloads"], "queries"),
    **dict.fromkeys(["lacking", "lookback", "losses", "markers", "replays", "traces"], "queries"),
    "conditions": "question",
    **dict.fromkeys(["lenient_json", "segment_fields"], "spans"),
    "pulls": "activity",
    **dict.fromkeys(["ledger", "merge", "schema", "seen", "tallies", "writer"], "store"),
}


def room(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    name = parts[1] if parts[0] == "core" else parts[0]
    return PARTS.get(name, name)


FILES = [
    path
    for path in sorted([*ROOT.glob("core/**/*.py"), *ROOT.glob("pages/*.py"), ROOT / "streamlit_app.py"])
    if path != ROOT / "core/__init__.py"
]


def imports(path: Path) -> list[str]:
    """Dotted names of all that a file imports, also inside functions."""
    found = []
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found += [f"{node.module}.{alias.name}" for alias in node.names]
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_room_imports_only_what_the_table_allows(path):
    own = room(path)

    ours = {name.split(".")[1] for name in imports(path) if name.startswith("core.")}
    rooms = {PARTS.get(name, name) for name in ours}

    assert rooms - {own} <= MAY_IMPORT[own]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_streamlit_stays_where_visitors_are(path):
    knows = any(name.split(".")[0] == "streamlit" for name in imports(path))

    assert not knows or room(path) in MAY_IMPORT_STREAMLIT


MODULES = [
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for path in FILES
    if path.parent not in (ROOT, ROOT / "pages") and path.name not in ("__init__.py", "app.py")
]


@pytest.mark.parametrize("name", MODULES)
def test_a_module_names_what_is_public(name):
    module = importlib.import_module(name)

    assert module.__all__
    assert [public for public in module.__all__ if not hasattr(module, public)] == []


@pytest.mark.parametrize(
    "faint",
    [
        pytest.param("st.caption(", id="grey of 4.3 to 1 on white"),
        pytest.param('type="primary"', id="white of 2.9 to 1 on the dark theme's blue"),
        pytest.param('language="', id="code in colours of 2.6 to 1 and more on white"),
    ],
)
def test_nothing_is_drawn_whose_contrast_streamlit_keeps_under_that_of_wcag_aa(faint):
    drawing = [path for path in FILES if room(path) == "view" or path.parent == ROOT / "pages"]

    assert drawing
    assert [path.name for path in drawing if faint in path.read_text("utf-8")] == []
