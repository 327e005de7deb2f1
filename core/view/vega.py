"""Vega-Lite in plain dictionaries: layers with their rows, put together to what `st.vega_lite_chart` takes.

Altair would check and copy each layer whenever a chart is drawn, which takes longer than everything else of a page; the
tests hold each chart against Altair's schema instead. Rows go by name, so that a chart whose rows change keeps its
specification and is updated in its place.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import ArrayLike, NDArray

__all__ = ["MEANINGS", "Layer", "Spec", "drawn", "expr", "fixed", "meaning", "moments", "number", "rows", "time"]

Spec = dict[str, Any]

MEANINGS = ["history", "forecast", "threshold", "attention", "fault", "price", "marker"]  # = chartCategoricalColors


class Layer(NamedTuple):
    """One mark: its name, by which its rows go too, the rows, its form, where it stands, and what a pointer does."""

    name: str
    rows: pa.Table | None  # None: one mark, whose place needs no data
    mark: Spec
    encoding: Spec
    params: list[Spec] | None = None


def rows(**columns: ArrayLike) -> pa.Table:
    """Rows by their columns: numbers (NaN is null), texts, booleans, or times (datetime64, naive UTC).

    A chart has some twenty of these: made of frames they would take 2 ms each, this way it is a tenth.
    """
    return pa.table({name: _column(np.asarray(values)) for name, values in columns.items()})


def moments(times: Sequence[datetime] | pd.Series) -> NDArray[np.datetime64]:
    """Times (naive UTC) as a column of `rows`."""
    return np.asarray(times, "M8[us]")


def _column(values: np.ndarray[Any, Any]) -> pa.Array:
    if values.dtype.kind == "M":
        return pa.array(values.astype("M8[us]"), pa.timestamp("us", "UTC"))  # naive times are the browser's to Vega
    return pa.array(values, from_pandas=True)


def time(column: str = "t") -> Spec:
    """A place in time; the frame alone says domain and axis."""
    return {"field": column, "type": "temporal", "title": None}


def number(column: str = "y") -> Spec:
    """A place by value."""
    return {"field": column, "type": "quantitative", "title": None}


def fixed(value: float | str) -> Spec:
    """A fixed place in px, or a fixed text."""
    return {"value": value}


def expr(code: str) -> Spec:
    """A value that the browser computes, from `width` or `height` for example."""
    return {"value": {"expr": code}}


def meaning(name: str) -> Spec:
    """The colour of a layer, from the theme on screen."""
    return {"datum": name, "type": "nominal"}


def drawn(layers: Sequence[Layer], height: int, *, above: int = 4) -> Spec:
    """`layers`, back to front, as one chart of that height in px, axes and padding (`above` of it on top) included."""
    return {
        "layer": [_layer(layer) for layer in layers],
        "datasets": {layer.name: layer.rows for layer in layers if layer.rows is not None},
        "height": height,
        "padding": {"left": 0, "right": 0, "top": above, "bottom": 2},
        # Without `aria` off a screen reader reads out every mark, one by one.
        "config": {"aria": False, "axis": {"aria": False}, "view": {"stroke": None}},
    }


def _layer(layer: Layer) -> Spec:
    data: Spec = {"values": [{}]} if layer.rows is None else {"name": layer.name}
    spec: Spec = {"name": layer.name, "data": data, "mark": layer.mark, "encoding": layer.encoding}
    return spec if layer.params is None else {**spec, "params": layer.params}
