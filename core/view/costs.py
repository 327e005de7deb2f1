"""What a threshold would have cost: a chart over the lines that were tried, and the same in words."""

from datetime import timedelta

import pandas as pd

from core.queries import Cost
from core.view.axis import Values, plane, values
from core.view.layers import text_form, words
from core.view.text import NBSP, Terms, chance, count, exactly, spread
from core.view.vega import Layer, Spec, drawn, expr, fixed, meaning, number, rows

__all__ = ["alt", "chart", "legend", "said"]

HEIGHT = 240
_GAP = "\u2003 "  # where the line wraps
_STEP = "step-after"  # a line's numbers hold up to the next line
_HERE = {"field": "t", "type": "quantitative", "title": None}


def chart(terms: Terms, cost: Cost) -> Spec:
    """Warnings and the real ones among them over the lines that were tried, 240 px; `cost.curve` has some rows."""
    tried = cost.curve.rename(columns={"threshold": "t"})
    across = _across(tried["t"].to_list(), terms)
    title = (
        f"In {count(cost.days, 'day')}, by threshold{f' ({terms.unit})' if terms.unit in ('ms', 's', 'USD') else ''}"
    )
    up = values([*tried["warnings"], 4], "requests", title)
    area = {"type": "area", "interpolate": _STEP, "opacity": 0.25}
    line = {"type": "line", "interpolate": _STEP}
    ink, magenta = meaning("history"), meaning("attention")
    real = {"x": _HERE, "y": number("real")}
    return drawn(
        [
            *plane(across, up),
            Layer("real", rows(**tried[["t", "real"]]), area, {**real, "y2": {"datum": 0}, "color": ink}),
            Layer("real_line", rows(**tried[["t", "real"]]), {**line, "strokeWidth": 1.5}, {**real, "color": ink}),
            Layer(
                "warnings",
                rows(**tried[["t", "warnings"]]),
                {**line, "strokeWidth": 2},
                {"x": _HERE, "y": number("warnings"), "color": magenta},
            ),
            *_suggested(terms, cost),
            *_chosen(terms, across),
            _cells(tried, terms),
        ],
        HEIGHT,
    )


def said(terms: Terms, cost: Cost, p: float) -> list[str]:
    """What the threshold in force would have cost, and which one is suggested: paragraphs of Markdown."""
    own, best = cost.chosen, cost.suggested
    days = "day" if cost.days == 1 else f"{cost.days} days"
    real = f", {count(own['real'])} came true" if own["warnings"] else ""
    missed = f"**{count(own['unannounced'])} of {count(own['crossings'], 'crossing')}** began without a warning"
    counts = [
        f"**{count(own['warnings'], 'warning')}**{real}",
        missed if own["crossings"] else "**No crossing**",
    ]
    if terms.granularity == "hourly" and pd.notna(own["lead"]):
        counts.append(f"**{own['lead'] / timedelta(hours=1):.0f}{NBSP}h** ahead in the middle case")
    advice = "No line is suggested: at each, most warnings were false, or they came more often than every other day."
    if best is not None:
        advice = (
            f"Suggested: {exactly(best['threshold'], terms.unit)}, the lowest line at which half of the warnings or"
            f" more came true, and no more than one came in two days ({count(best['warnings'], 'warning')},"
            f" {count(best['real'])} came true)."
        )
    begin = f"Warning each midnight where the chance is above {chance(p)}, over the last {days}"
    return [
        f"{begin} at **{exactly(terms.threshold, terms.unit)}**:",
        "  \n".join(counts),
        f":gray[{advice}]",
    ]


def legend(terms: Terms, cost: Cost) -> str:
    """The line of Markdown under the chart."""
    parts = [":violet[**━** warnings]", ":gray-background[came true]", ":orange[**╌** threshold]"]
    if cost.suggested is not None:
        parts.append(f":gray[**┊** suggested, {exactly(cost.suggested['threshold'], terms.unit)}]")
    return f":small[{_GAP.join(part.replace(' ', NBSP) for part in parts)}]"


def alt(terms: Terms, cost: Cost) -> str:
    """The chart in a few sentences."""
    tried, own, best = cost.curve["threshold"], cost.chosen, cost.suggested
    parts = [
        f"Warnings by threshold, {spread(tried.min(), tried.max(), terms.unit)}, over {count(cost.days, 'day')}.",
        f"At {exactly(terms.threshold, terms.unit)} {count(own['warnings'], 'warning')}, {own['real']:,} came true.",
    ]
    if best is not None:
        parts.append(f"Suggested: {exactly(best['threshold'], terms.unit)}.")
    return " ".join(parts)


def _across(tried: list[float], terms: Terms) -> Values:
    """The axis of lines, from the first to the last."""
    axis = values(tried, terms.unit, "", zero=False)
    inside = {at: label for at, label in axis.labels.items() if tried[0] <= at * axis.step <= tried[-1]}
    return axis._replace(low=tried[0], high=tried[-1], labels=inside)


def _chosen(terms: Terms, across: Values) -> list[Layer]:
    """The threshold in force; beyond the lines that were tried only its label, at that edge, with an arrow."""
    line, label, amber = terms.threshold, exactly(terms.threshold, terms.unit), meaning("threshold")
    if across.low <= line <= across.high:
        late = line > (across.low + across.high) / 2
        rule = {"type": "rule", "strokeWidth": 1.5, "strokeDash": [6, 4]}
        layers = [Layer("chosen", None, rule, {"x": {"datum": line}, "color": amber})]
        x: Spec = {"datum": line}
    else:
        late = line > across.high
        label = f"{label} →" if late else f"← {label}"
        layers, x = [], expr("width") if late else fixed(0)
    form = text_form("right" if late else "left", dx=-4 if late else 4, fontWeight=600)
    return layers + words("chosen_label", None, form, {"x": x, "y": fixed(14), "text": fixed(label), "color": amber})


def _suggested(terms: Terms, cost: Cost) -> list[Layer]:
    """The line that is suggested, unless it is the one in force; the legend says its number."""
    if cost.suggested is None or cost.suggested["threshold"] == terms.threshold:
        return []
    rule = {"type": "rule", "strokeWidth": 1.5, "strokeDash": [1, 3]}
    at = {"datum": float(cost.suggested["threshold"])}
    return [Layer("suggested", None, rule, {"x": at, "color": meaning("marker")})]


def _cells(tried: pd.DataFrame, terms: Terms) -> Layer:
    """What the pointer is told: one invisible cell a line, from it to the next."""
    said = pd.DataFrame(
        {
            "t": tried["t"],
            "end": tried["t"].shift(-1),
            "line": [exactly(line, terms.unit) for line in tried["t"]],
            **{name: [count(n) for n in tried[name]] for name in ("warnings", "real", "unannounced")},
        }
    ).dropna()
    titles = {
        "line": "Threshold",
        "warnings": "Warnings",
        "real": "Came true",
        "unannounced": "Crossings without one",
    }
    return Layer(
        "cells",
        rows(**said),
        {"type": "rect", "clip": True},
        {
            "x": _HERE,
            "x2": {"field": "end"},
            "color": meaning("marker"),
            "opacity": {"condition": {"param": "pointed", "empty": False, **fixed(0.14)}, **fixed(0)},
            "tooltip": [{"field": field, "type": "nominal", "title": title} for field, title in titles.items()],
        },
        [{"name": "pointed", "select": {"type": "point", "on": "pointerover", "clear": "pointerout"}}],
    )
