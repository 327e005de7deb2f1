"""The tab Drivers: its sentence and its tables."""

import pandas as pd

from core.analysis.drivers import COLUMNS
from core.view import drivers
from core.view.text import NBSP

HOSTILE = "![x](http://e.example/x.png)"


def found(*rows):
    return pd.DataFrame(rows, columns=COLUMNS)


def test_the_first_driver_is_said_with_its_shares():
    frame = found(("shard_id", "c", 0.93, 0.1, 200.0, 100, 1e-30, True), ("a", "b", 0.5, 0.4, 1.0, 400, 0.02, False))

    said = drivers.said(frame, failed=False).replace(NBSP, " ")

    assert said == r"In 93.0 % of the slow records shard\_id is c, in 10.0 % of all"


def test_what_chance_explains_is_no_driver():
    assert drivers.said(found(("a", "b", 0.5, 0.4, 1.0, 400, 0.02, False)), failed=True) == (
        "Nothing sets the failed records apart"
    )
    assert drivers.said(found(), failed=False) == "Nothing sets the slow records apart"


def test_text_from_traces_stays_text():
    said = drivers.said(found((HOSTILE, HOSTILE, 0.9, 0.1, 1.0, 9, 0.0, True)), failed=False)

    assert "](" not in said


def test_a_long_value_is_cut_in_the_sentence():
    said = drivers.said(found(("k", "v" * 10_000, 0.9, 0.1, 1.0, 9, 0.0, True)), failed=False)

    assert len(said) < 200


def test_the_table_has_shares_in_per_cent_and_says_which_are_drivers():
    frame = found(("size", "9 or more", 0.9, 0.2, 1500.0, 40, 0.0, True), ("a", "b", 0.1, 0.1, None, 20, 0.5, False))

    table = drivers.found(frame, "data_volume_bytes", failed=False)

    first = table.frame.iloc[0].to_dict()
    assert first == {
        "key": "size",
        "value": "9 or more",
        "share_slow": 90.0,
        "share_all": 20.0,
        "effect": 1.5,
        "n": 40,
        "significant": "Yes",
    }
    assert list(table.frame.columns) == list(table.columns)
    assert table.columns["effect"]["label"] == "Median differs (kB)"
    assert table.alt == "2 values with their shares, 1 driver first."


def test_steps_are_shown_with_what_changed():
    columns = ["service", "step", "n", "self_ms", "share", "self_ms_before", "change_ms"]
    frame = pd.DataFrame([("shop", "pay", 12, 40.0, 0.8, 30.0, 10.0)], columns=columns)

    table = drivers.steps(frame)

    assert table.frame.iloc[0].to_list() == ["pay", "shop", 80.0, 40.0, 30.0, 10.0, 12]
    assert list(table.frame.columns) == list(table.columns)
