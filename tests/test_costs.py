"""What a threshold would have cost, on the page: the words, the curve with its marks, and what is said to a reader."""

from datetime import datetime, timedelta

import altair as alt
import pandas as pd
import pytest

from core.queries import Cost
from core.question import Question
from core.view import costs, text
from core.view.text import NBSP

NOW = datetime(2026, 11, 24, 21, 18)
COLUMNS = ["threshold", "warnings", "real", "crossings", "unannounced", "lead"]


def terms(threshold=150.0, **asked):
    return text.terms(Question(**asked), threshold, NOW, NOW, text.zone("UTC"))


def cost(threshold=150.0, suggested=165.0):
    rows = [
        (110.0, 20, 6, 9, 2, timedelta(hours=5)),
        (130.0, 12, 4, 5, 1, timedelta(hours=4)),
        (165.0, 4, 2, 2, 0, timedelta(hours=3)),
        (190.0, 0, 0, 1, 1, pd.NaT),
    ]
    curve = pd.DataFrame(rows, columns=COLUMNS).astype({"lead": "m8[us]"})
    own = pd.Series([threshold, 7, 2, 3, 1, timedelta(hours=3)], index=COLUMNS)
    best = curve[curve["threshold"] == suggested]
    return Cost(curve, own, best.iloc[0] if len(best) else None, 14)


def plain(paragraphs):
    return [paragraph.replace(NBSP, " ") for paragraph in paragraphs]


def named(spec):
    return {layer["name"]: layer for layer in spec["layer"]}


def rows(spec, name):
    return spec["datasets"][name]


def test_the_words_count_warnings_crossings_and_the_time_ahead():
    begin, counts, advice = plain(costs.said(terms(), cost(), 0.5))

    assert begin == "Warning each midnight where the chance is above 50 %, over the last 14 days at **150 ms**:"
    assert counts.split("  \n") == [
        "**7 warnings**, 2 came true",
        "**1 of 3 crossings** began without a warning",
        "**3 h** ahead in the middle case",
    ]
    assert advice == (
        ":gray[Suggested: 165 ms, the lowest line at which half of the warnings or more came true, and no more than"
        " one came in two days (4 warnings, 2 came true).]"
    )


def test_where_nothing_happened_the_words_are_few():
    nothing = cost(suggested=0.0)._replace(chosen=pd.Series([150.0, 0, 0, 0, 0, pd.NaT], index=COLUMNS), days=1)
    begin, counts, advice = plain(costs.said(terms(), nothing, 0.35))

    assert "above 35 %, over the last day at" in begin
    assert counts.split("  \n") == ["**0 warnings**", "**No crossing**"]
    assert advice.startswith(":gray[No line is suggested: ")


def test_days_say_nothing_of_hours_ahead():
    _, counts, _ = costs.said(terms(granularity="daily"), cost(), 0.5)

    assert "ahead" not in counts


def test_the_curve_steps_over_the_lines_that_were_tried():
    spec = costs.chart(terms(), cost())

    assert spec["height"] == 240
    assert named(spec)["warnings"]["mark"]["interpolate"] == "step-after"
    assert rows(spec, "warnings")["warnings"].to_pylist() == [20, 12, 4, 0]
    assert rows(spec, "real")["real"].to_pylist() == [6, 4, 2, 0]
    assert named(spec)["frame"]["encoding"]["x"]["scale"]["domain"] == [110, 190]
    assert named(spec)["title"]["encoding"]["text"]["value"] == "In 14 days, by threshold (ms)"


def test_the_threshold_in_force_and_the_suggested_one_are_marked():
    marked = named(costs.chart(terms(), cost()))

    assert marked["chosen"]["encoding"]["x"] == {"datum": 150.0}
    assert marked["chosen_label"]["encoding"]["text"]["value"] == f"150{NBSP}ms"
    assert marked["suggested"]["encoding"]["x"] == {"datum": 165.0}
    assert costs.legend(terms(), cost()).endswith(f":gray[**┊**{NBSP}suggested,{NBSP}165{NBSP}ms]]")


@pytest.mark.parametrize(("threshold", "said"), [(50.0, f"← 50{NBSP}ms"), (1000.0, f"1,000{NBSP}ms →")])
def test_a_threshold_beyond_the_lines_stands_at_their_edge(threshold, said):
    marked = named(costs.chart(terms(threshold), cost(threshold)))

    assert "chosen" not in marked
    assert marked["chosen_label"]["encoding"]["text"]["value"] == said


def test_the_threshold_that_is_suggested_is_marked_once():
    assert "suggested" not in named(costs.chart(terms(165.0), cost(165.0)))


def test_the_pointer_is_told_each_lines_counts():
    cell = rows(costs.chart(terms(), cost()), "cells").to_pylist()[1]

    assert list(cell.values()) == [130.0, 165.0, f"130{NBSP}ms", "12", "4", "1"]


@pytest.mark.parametrize("asked", [{}, {"stat": "error_rate"}, {"stat": "volume"}, {"stat": "count"}])
def test_the_chart_is_vega_lite_in_every_unit(asked):
    chart = costs.chart(terms(**asked), cost())

    alt.LayerChart.validate({**chart, "datasets": {}})
    assert {layer["data"]["name"] for layer in chart["layer"] if "name" in layer["data"]} == set(chart["datasets"])


def test_the_chart_has_a_legend_and_a_text_for_who_does_not_see_it():
    assert "suggested" not in costs.legend(terms(), cost(suggested=0.0))
    assert costs.alt(terms(), cost()).replace(NBSP, " ") == (
        "Warnings by threshold, 110 to 190 ms, over 14 days. At 150 ms 7 warnings, 2 came true. Suggested: 165 ms."
    )
