"""Importing a file: where it is dropped, by who may write, and what became of those that were imported."""

import re
from typing import Any

import pandas as pd
import streamlit as st

from core import activity
from core.view import senders
from core.view.permission import asked_token, may_write
from core.view.tables import Table
from core.view.text import NBSP, amount, count, safe

__all__ = ["MAX_UPLOAD_MB", "import_a_file", "name_of", "refusals", "reports"]

MAX_UPLOAD_MB = 200  # an upload is in memory as a whole; by HTTP a file is not
_STATES = {"running": "being read", "done": "read", "failed": "failed"}


def name_of(uploaded: str) -> str:
    """The name under which an uploaded file becomes a source: its last path part, every other character a hyphen."""
    last = re.split(r"[/\\]", uploaded)[-1]
    return re.sub(r"[^A-Za-z0-9._-]+", "-", last).strip("-")[:80] or "upload"


def import_a_file() -> None:
    """A place to drop a file, and the button that has it imported; the line that sends a larger one."""
    uploads = st.session_state.setdefault("uploads", 0)  # another key is another, empty uploader
    file = st.file_uploader(
        "Traces of X-Ray or OpenTelemetry, as JSON or packed with gzip",
        max_upload_size=MAX_UPLOAD_MB,
        key=f"upload-{uploads}",
        help="Output of aws xray batch-get-traces or get-trace-summaries, segment documents, OTLP in JSON.",
    )
    if file is not None:
        name = name_of(file.name)
        token = asked_token()
        if st.button(f"Import as {safe(f'file:{name}')}") and may_write(token):
            st.session_state["uploads"] = uploads + 1
            activity.ask_import(name, file)
            st.toast(f"{safe(f'file:{name}')} is being imported.", icon=":material/upload_file:")
            st.rerun()
    larger = f"Larger than {MAX_UPLOAD_MB}{NBSP}MB: send it by HTTP, which never holds all of it in memory."
    st.markdown(f":small[:gray[{larger}]]")
    st.code(senders.import_line(), language=None)


def reports(imports: list[dict[str, Any]], *, told: bool) -> Table:
    """One row an import, the newest first; `imports` as `activity` has them, why one failed only to who is `told`."""
    frame = pd.DataFrame(
        [
            (
                f"file:{one['name']}",
                _STATES[one["state"]],
                amount(one["bytes"], "bytes"),
                one["stored"],
                one["duplicates"],
                sum(refused["n"] for refused in one["rejected"].values()),
                one["error"] if told else None,
            )
            for one in reversed(imports)
        ],
        columns=["source", "state", "bytes", "stored", "duplicates", "refused", "error"],
    )
    columns = {
        "source": "Source",
        "state": "State",
        "bytes": "Unpacked",
        "stored": st.column_config.NumberColumn("Spans stored", format="localized"),
        "duplicates": st.column_config.NumberColumn("Stored before", format="localized"),
        "refused": st.column_config.NumberColumn("Refused", format="localized"),
        "error": "What was wrong",
    }
    return Table(frame, columns, f"{count(len(frame), 'import')} with spans stored and refused.")


def refusals(imports: list[dict[str, Any]], *, told: bool) -> Table:
    """One row a reason of each import, the most first: how many, and the first line of the file."""
    rows = [
        (f"file:{one['name']}", reason, refused["n"], refused["first_line"], refused["message"] if told else None)
        for one in reversed(imports)
        for reason, refused in sorted(one["rejected"].items(), key=lambda item: -item[1]["n"])
    ]
    frame = pd.DataFrame(rows, columns=["source", "reason", "n", "first_line", "message"])
    columns = {
        "source": "Source",
        "reason": "Reason",
        "n": st.column_config.NumberColumn("How many", format="localized"),
        "first_line": st.column_config.NumberColumn("First in line", format="localized"),
        "message": "The first one",
    }
    return Table(frame, columns, f"{count(len(frame), 'reason')} why parts of files were refused.")
