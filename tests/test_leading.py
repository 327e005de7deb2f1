"""From a chart's hour or dot, and a table's row, to its traces: what can be chosen, and how a group narrows it."""

from datetime import datetime, timedelta

import pytest

from core.conditions import Condition, parse
from core.view import leading
from core.view.cells import CHOSEN, Row, cells

HOUR = timedelta(hours=1)
AT = datetime(2026, 11, 24, 16)


def test_only_what_has_traces_can_be_chosen():
    [layer] = cells([Row(AT, {"Time": "16:00"}, AT), Row(AT + HOUR, {"Time": "17:00", "Forecast": "1 ms"})], HOUR)
    [ahead] = cells([Row(AT, {"Time": "16:00"})], HOUR)

    assert layer.rows is not None
    assert layer.rows["bucket"].to_pylist() == ["2026-11-24T16:00:00Z", None]
    assert CHOSEN in [param["name"] for param in layer.params or []]
    assert CHOSEN not in [param["name"] for param in ahead.params or []]


def test_what_the_pointer_says_stays_one_layer_whatever_comes_to_it():
    says = [{"Time": "a"}, {"Time": 'b "quoted"', "Observed": "1"}, {"Time": "c", "Marker": "deployment"}]
    [layer] = cells([Row(AT + number * HOUR, said) for number, said in enumerate(says)], HOUR)

    assert layer.rows is not None
    assert layer.rows.select(["says_0", "says_1", "says_2"]).to_pylist() == [
        {"says_0": "a", "says_1": None, "says_2": None},
        {"says_0": 'b "quoted"', "says_1": "1", "says_2": None},
        {"says_0": "c", "says_1": None, "says_2": "deployment"},
    ]


@pytest.mark.parametrize("group", ["low", 'a,b="c"', "  spaced", "50 %", "(x)"])
def test_a_group_narrows_to_its_value_whatever_is_in_it(group):
    assert parse(leading.group_of("flag", group)["where"]) == (Condition("flag", "=", group),)


def test_no_split_and_those_without_the_key_narrow_nothing():
    assert leading.group_of(None, "low") == {}
    assert leading.group_of("flag", "(none)") == {}
    assert leading.group_of("flag", None) == {}
