"""Which room knows which: the import table of the design, held by a test."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

ALL = {
    "access", "activity", "analysis", "api", "errors", "export", "ingest", "queries", "question", "service", "settings",
    "spans", "store", "view",
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
    "access": {"settings", "errors"},
    "queries": {"question", "analysis", "store", "activity", "settings", "errors"},
    "export": {"errors"},
    "api": ALL - {"service", "view"},
    "service": ALL - {"view"},
    "view": {"question", "queries", "export", "activity", "access", "settings", "errors"},
    "pages": {"view", "queries"},
    "streamlit_app": {"service", "api", "errors"},
}
MAY_IMPORT_STREAMLIT = {"queries", "view", "pages", "streamlit_app"}
PARTS = {  # rooms that are more than one file
    **dict.fromkeys(["lenient_json", "segment_fields"], "spans"),
    **dict.fromkeys(["schema", "merge", "writer"], "store"),
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


@pytest.mark.parametrize("path", [f for f in FILES if f.parent.name != "pages" and f.parent != ROOT], ids=str)
def test_a_module_names_what_is_public(path):
    if path.name == "__init__.py" or path.name == "app.py":
        return
    tree = ast.parse(path.read_text("utf-8"))
    public = next(
        (ast.literal_eval(node.value) for node in tree.body if isinstance(node, ast.Assign)
         and isinstance(node.targets[0], ast.Name) and node.targets[0].id == "__all__"),
        None,
    )  # fmt: skip
    defined = {
        name
        for node in tree.body
        for name in (
            [node.name] if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
            else [target.id for target in node.targets if isinstance(target, ast.Name)] if isinstance(node, ast.Assign)
            else [node.target.id] if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
            else []
        )
    }  # fmt: skip

    assert public is not None
    assert set(public) <= defined
