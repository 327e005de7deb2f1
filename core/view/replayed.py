"""The charts of a backtest: a forecast against what happened, and chances against how often they came true."""

from dataclasses import replace
from datetime import datetime

import pandas as pd

from core.queries import Backtest, Reliability
from core.view.axis import Values, frame, plane, values
from core.view.captions import legend
from core.view.cells import Row, cells, forecast_rows, history_rows
from core.view.charts import past_of, shown
from core.view.layers import history_line, marker_rules, now_rule, prediction, threshold_line
from core.view.text import NBSP, NOTHING, Terms, amount, count, per_cent, when
from core.view.vega import Layer, Spec, drawn, meaning, number, rows

__all__ = ["alt_chances", "alt_replay", "chances", "replay", "replay_legend"]

HEIGHT = 262
INTERVAL = 95  # per cent: what backtests keep, whatever the page asks for
_SHARES = {step: f"{20 * step}{NBSP}%" for step in range(6)}


def replay(terms: Terms, backtest: Backtest, cutoff: datetime) -> Spec:
    """What was said at `cutoff` over what came, and two horizons before it; 262 px."""
    then, forecast = _then(terms, backtest, cutoff)
    observed = backtest.observed.assign(complete=True)
    before = observed[observed["bucket"] < cutoff]
    window = shown(then, before, forecast)
    past, known = (past_of(seen, "value", window) for seen in (observed, before))
    axis = values([*past.y, *forecast["yhat_upper"]], terms.unit, terms.name, threshold=terms.threshold)
    came = observed.set_index("bucket")["value"]
    after = [_with_outcome(row, came.get(row.time), terms.unit) for row in forecast_rows(then, forecast)]
    return drawn(
        [
            *frame(window, terms.shown_zone, axis),
            *prediction(then, known, forecast),
            *history_line(past),
            *threshold_line(terms, axis),
            *now_rule(then, window),
            *marker_rules(terms, window),
            *cells(history_rows(then, known) + after, terms.width),
        ],
        HEIGHT,
        above=14,
    )


def replay_legend(terms: Terms) -> str:
    """The line of Markdown under `replay`."""
    return legend(["observed", "forecast", "interval", "threshold"], replace(terms, interval=INTERVAL))


def alt_replay(terms: Terms, backtest: Backtest, cutoff: datetime) -> str:
    """The forecast of one day in a sentence."""
    _, forecast = _then(terms, backtest, cutoff)
    inside = forecast["came"].between(forecast["yhat_lower"], forecast["yhat_upper"]).sum()
    known = forecast["came"].notna().sum()
    said = f"{terms.name}, as said {when(cutoff, terms)}, and what came"
    return f"{said}: {count(inside)} of {count(known)} inside the {INTERVAL}{NBSP}% interval."


def chances(told: Reliability) -> Spec:
    """How often what was said with a chance came true; 262 px, larger dots for what was said more often."""
    across = Values(0, 1, 0.2, _SHARES, "")
    up = Values(0, 1, 0.2, _SHARES, "Came true, by the chance said")
    dots = told.bins.rename(columns={"said": "t", "came": "y"})
    dots = dots.assign(
        said=[per_cent(share) for share in dots["t"]],
        came=[f"{per_cent(share)} of {count(n, 'time')}" for share, n in zip(dots["y"], dots["n"], strict=True)],
    )
    here = {"x": {"field": "t", "type": "quantitative", "title": None}, "y": number()}
    size = {"domain": [0, int(dots["n"].max()) if len(dots) else 1], "range": [20, 320]}
    tips = [{"field": name, "type": "nominal", "title": name_.capitalize()} for name, name_ in _TIPS.items()]
    right = rows(t=[0.0, 1.0], y=[0.0, 1.0])
    dashed = {"type": "line", "strokeWidth": 1, "strokeDash": [4, 4]}
    return drawn(
        [
            *plane(across, up),
            Layer("right", right, dashed, {**here, "color": meaning("marker")}),
            Layer(
                "line",
                rows(**dots[["t", "y"]]),
                {"type": "line", "strokeWidth": 1.5},
                {**here, "color": meaning("attention")},
            ),
            Layer(
                "dots",
                rows(**dots[["t", "y", "n", *_TIPS]]),
                {"type": "point", "filled": True, "opacity": 1},
                {
                    **here,
                    "color": meaning("attention"),
                    "size": {"field": "n", "type": "quantitative", "scale": size, "legend": None},
                    "tooltip": tips,
                },
            ),
        ],
        HEIGHT,
        above=14,
    )


def alt_chances(told: Reliability) -> str:
    """The diagram in a sentence."""
    pairs = ", ".join(f"{per_cent(row.said)} said, {per_cent(row.came)} came" for row in told.bins.itertuples())
    return f"Chances of a crossing and how often one came: {pairs or 'none yet'}."


_TIPS = {"said": "said", "came": "came true"}


def _then(terms: Terms, backtest: Backtest, cutoff: datetime) -> tuple[Terms, pd.DataFrame]:
    """The terms as of `cutoff`, and what Tracecast said there as `queries.forecast` would, with what `came`."""
    rows = backtest.rows[(backtest.rows["model"] == "tracecast") & (backtest.rows["cutoff"] == cutoff)]
    names = {f"lower_{INTERVAL}": "yhat_lower", f"upper_{INTERVAL}": "yhat_upper", "y": "came"}
    forecast = rows.rename(columns=names).assign(p_above=float("nan")).reset_index(drop=True)
    return replace(terms, end=cutoff, interval=INTERVAL), forecast


def _with_outcome(row: Row, came: float | None, unit: str) -> Row:
    observed = NOTHING if came is None or pd.isna(came) else amount(came, unit)
    return Row(row.time, {"Time": row.says["Time"], "Observed": observed, **row.says})
