"""Frames as CSV: streamed, one way of writing each type, and spreadsheet formulas made harmless. Spans as JSON."""

import json
from collections.abc import Iterable, Iterator
from csv import QUOTE_MINIMAL, QUOTE_NONNUMERIC
from datetime import datetime
from typing import Any

import pandas as pd

from core.errors import TracecastError

__all__ = ["csv", "plain", "span"]

_FORMULA = ("=", "+", "-", "@", "\t", "\r")  # OWASP, "CSV Injection"


def csv(frames: Iterable[pd.DataFrame]) -> Iterator[bytes]:
    """The frames, which share their columns, as one CSV with one header; a chunk of UTF-8 per frame.

    Times (naive UTC) as `2026-11-24T13:00:00Z`, with microseconds where they are not whole seconds; booleans
    `true`/`false`; null, NaN and NaT as an empty cell; a text that a spreadsheet would run as a formula gets a leading
    apostrophe. Raises `TracecastError` when there is no frame: without one there are no column names.
    """
    header = True
    for frame in frames:
        columns = {name: _cells(frame[name]) for name in frame.columns}
        cells = pd.DataFrame(columns, index=frame.index)
        # Python's writer leaves a lone carriage return unquoted, and readers then see the end of a row.
        quoting = QUOTE_NONNUMERIC if _has_carriage_return(cells) else QUOTE_MINIMAL
        text = cells.to_csv(index=False, header=header, lineterminator="\n", quoting=quoting)
        yield text.encode("utf-8", "replace")
        header = False
    if header:
        raise TracecastError("There is no table to write.")


def span(row: dict[str, Any]) -> dict[str, Any]:
    """A stored row as the columns of the contract: annotations as one object, the detail as an object."""
    numbers, texts, booleans = (dict(row.pop(name) or {}) for name in ("numbers", "texts", "booleans"))
    detail = row.pop("detail")
    fields = {name: plain(value) for name, value in row.items()}
    return {
        **fields,
        "annotations": {**numbers, **booleans, **texts},
        "detail": json.loads(detail) if isinstance(detail, str) else None,
    }


def plain(value: Any) -> Any:
    """A cell as what JSON has: null for nothing, a time as text."""
    if value is None or (not isinstance(value, str) and pd.isna(value)):
        return None
    if isinstance(value, datetime):
        return f"{value.isoformat()}Z"
    return value.item() if hasattr(value, "item") else value


def _cells(column: pd.Series) -> pd.Series:
    if pd.api.types.is_datetime64_any_dtype(column.dtype):
        text = column.dt.strftime("%Y-%m-%dT%H:%M:%S.%f").str.removesuffix(".000000")
        return text + "Z"
    if pd.api.types.is_numeric_dtype(column.dtype) and not pd.api.types.is_bool_dtype(column.dtype):
        return column
    return column.map(_cell, na_action="ignore").astype(object)


def _cell(value: object) -> object:
    if isinstance(value, bool) or type(value).__name__ == "bool":
        return "true" if value else "false"
    if isinstance(value, str) and value.startswith(_FORMULA):
        return f"'{value}"
    return value


def _has_carriage_return(cells: pd.DataFrame) -> bool:
    texts = cells.select_dtypes(["object", "str"])
    return any(texts[name].str.contains("\r", regex=False, na=False).any() for name in texts)
