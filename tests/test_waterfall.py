"""One trace as a waterfall: order, depth, own time, critical path, and what is odd about it."""

from datetime import datetime, timedelta

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.analysis.waterfall import lanes, rows

T0 = datetime(2026, 11, 24, 13)


def spans(*given):
    """Spans as `(id, parent, start_ms, duration_ms)`."""
    frame = pd.DataFrame(given, columns=["span_id", "parent_id", "at", "duration_ms"])
    frame["started_at"] = pd.to_datetime([T0 + timedelta(milliseconds=at) for at in frame.pop("at")]).astype("M8[us]")
    return frame.astype({"duration_ms": float}).assign(name=frame["span_id"])


def by_id(frame, column):
    return dict(zip(frame["span_id"], frame[column], strict=True))


def test_a_parent_stands_before_its_children_and_these_by_start():
    found = rows(spans(("b", "root", 50, 10), ("deep", "a", 12, 5), ("root", None, 0, 100), ("a", "root", 10, 20)))

    assert found["span_id"].to_list() == ["root", "a", "deep", "b"]
    assert found["depth"].to_list() == [0, 1, 2, 1]
    assert found["offset_ms"].to_list() == [0, 10, 12, 50]


def test_its_own_time_is_what_no_child_covers():
    found = rows(spans(("root", None, 0, 100), ("a", "root", 10, 30), ("b", "root", 20, 30), ("late", "root", 90, 50)))

    assert by_id(found, "self_ms") == {"root": 100 - 40 - 10, "a": 30, "b": 30, "late": 50}


def test_the_critical_path_is_what_decided_the_end():
    found = rows(
        spans(
            ("root", None, 0, 100),
            ("first", "root", 0, 40),
            ("beside", "root", 5, 10),
            ("second", "root", 40, 55),
            ("inner", "second", 50, 45),
        )
    )

    assert {name for name, critical in by_id(found, "critical").items() if critical} == {
        "root",
        "first",
        "second",
        "inner",
    }


def test_a_span_whose_parent_is_not_here_stands_at_the_top_and_says_so():
    found = rows(spans(("a", "gone", 0, 10), ("b", "a", 1, 5)))

    assert by_id(found, "flags") == {"a": "no parent", "b": ""}
    assert by_id(found, "depth") == {"a": 0, "b": 1}


@pytest.mark.parametrize(
    "given",
    [
        pytest.param([("a", "a", 0, 10)], id="its own parent"),
        pytest.param([("a", "c", 0, 10), ("b", "a", 1, 10), ("c", "b", 2, 10)], id="three in a ring"),
    ],
)
def test_a_loop_of_parents_is_cut_at_its_first_span(given):
    found = rows(spans(*given))

    assert found["span_id"].to_list() == [span_id for span_id, *_ in given]
    assert found["flags"].str.contains("loop").to_list() == [True] + [False] * (len(given) - 1)


def test_clocks_that_disagree_are_marked():
    found = rows(spans(("root", None, 10, 20), ("early", "root", 0, 5), ("late", "root", 25, 50)))

    assert by_id(found, "flags") == {"early": "starts before its parent", "root": "", "late": "ends after its parent"}
    assert found["offset_ms"].min() == 0


def test_a_span_without_an_end_reaches_as_far_as_what_began_inside():
    found = rows(spans(("root", None, 0, None), ("a", "root", 10, 30)))

    assert by_id(found, "length_ms") == {"root": 40, "a": 30}
    assert by_id(found, "flags")["root"] == "no end"


def test_only_a_summary_is_said():
    assert rows(spans(("summary", None, 0, 10)))["flags"].to_list() == ["summary only"]


@given(
    st.lists(
        st.tuples(
            st.integers(0, 11),
            st.one_of(st.none(), st.integers(0, 14)),
            st.integers(-500, 500),
            st.one_of(st.none(), st.integers(0, 300)),
        ),
        min_size=1,
        max_size=12,
        unique_by=lambda span: span[0],
    )
)
@settings(max_examples=80, deadline=None)
def test_every_span_gets_one_row_whatever_was_sent(given):
    sent = spans(*((str(own), None if parent is None else str(parent), at, ms) for own, parent, at, ms in given))

    found = rows(sent)

    assert sorted(found["span_id"]) == sorted(sent["span_id"])
    assert (found["offset_ms"] >= 0).all()
    assert (found["self_ms"] >= 0).all()
    assert (found["self_ms"] <= found["length_ms"] + 1e-9).all()
    line = lanes(found)
    assert len(line) == len(found)
    assert (line >= 0).all()
    assert (line < 40).all()


def test_ten_thousand_siblings_and_a_chain_of_five_thousand_are_laid_out():
    wide = rows(spans(("root", None, 0, 20_000), *((f"s{n}", "root", n, 500) for n in range(10_000))))
    deep = rows(spans(*((f"d{n}", f"d{n - 1}" if n else None, n * 0.001, 10) for n in range(5_000))))

    assert (len(wide), wide["depth"].max(), lanes(wide).max()) == (10_001, 1, 6)
    assert (deep["depth"].to_list(), lanes(deep).max()) == (list(range(5_000)), 39)


def test_spans_side_by_side_share_a_line_only_where_they_do_not_overlap():
    found = rows(spans(("root", None, 0, 100), ("a", "root", 0, 30), ("b", "root", 10, 30), ("c", "root", 35, 10)))

    line = dict(zip(found["span_id"], lanes(found), strict=True))

    assert line == {"root": 0, "a": 1, "b": 2, "c": 1}
