"""What a downloaded CSV looks like."""

import csv as reader
import io

import numpy as np
import pandas as pd
import pytest

from core import export
from core.errors import TracecastError


def written(*frames: pd.DataFrame) -> str:
    return b"".join(export.csv(frames)).decode("utf-8")


def test_each_type_has_one_way_of_being_written():
    frame = pd.DataFrame(
        {
            "bucket": pd.to_datetime(["2026-11-24 13:00", None]),
            "timestamp": pd.to_datetime(["2026-11-24 13:00:00.000250", "2026-11-24 13:00:01"], format="ISO8601"),
            "complete": [True, False],
            "count": [3, 0],
            "latency_avg": [0.1, np.nan],
            "name": ["a,b", None],
            "probability": [None, 0.25],
        }
    )

    assert written(frame) == (
        "bucket,timestamp,complete,count,latency_avg,name,probability\n"
        '2026-11-24T13:00:00Z,2026-11-24T13:00:00.000250Z,true,3,0.1,"a,b",\n'
        ",2026-11-24T13:00:01Z,false,0,,,0.25\n"
    )


def test_frames_share_one_header_and_an_empty_frame_is_a_header():
    frame = pd.DataFrame({"group": ["a"], "yhat": [1.5]})

    assert written(frame, frame) == "group,yhat\na,1.5\na,1.5\n"
    assert written(frame.iloc[:0]) == "group,yhat\n"


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\tx", "\rx"])
def test_a_text_that_a_spreadsheet_would_run_is_made_harmless(text):
    rows = list(reader.reader(io.StringIO(written(pd.DataFrame({"name": [text], "n": [-1.0]})), newline="")))

    assert rows == [["name", "n"], [f"'{text}", "-1.0"]]


def test_numbers_keep_all_their_digits():
    assert written(pd.DataFrame({"y": [0.1 + 0.2, 1e-6, 1e22]})) == "y\n0.30000000000000004\n1e-06\n1e+22\n"


def test_no_frame_at_all_is_an_error():
    with pytest.raises(TracecastError, match="no table"):
        written()
