"""One trace as a waterfall: its spans in the order of the tree, when each begins, its own time, and what held all up.

Spans are taken as they were stored, and a trace may be in pieces: parents that never came, loops of parents, clocks
that disagree. Every span gets a row, and what is odd about it is said in `flags`.
"""

import heapq
from collections import defaultdict

import numpy as np
import numpy.typing as npt
import pandas as pd

__all__ = ["SUMMARY", "lanes", "rows"]

SUMMARY = "summary"  # the id of the span that stands for a trace of which only the summary was read

_Floats = npt.NDArray[np.float64]
_TOP = -1  # the parent of what has none


def rows(spans: pd.DataFrame) -> pd.DataFrame:
    """`spans` of one trace and source (the columns of `store.trace`), a parent before its children, these by start.

    Added columns, times in ms:

    | column | meaning |
    |---|---|
    | `depth` | 0 for a root, and for what has no parent here |
    | `offset_ms` | from the first start of the trace |
    | `length_ms` | the duration; where no end was sent, up to the end of what began inside |
    | `self_ms` | the length without the time in which a child ran |
    | `critical` | on the path that decides when the trace ends: had it been quicker, so had the trace |
    | `flags` | what is odd, joined by commas: `no parent`, `loop`, `starts before its parent`, `ends after its
      parent`, `no end`, `summary only` |
    """
    start = _offsets(spans["started_at"])
    duration = spans["duration_ms"].to_numpy(float, na_value=np.nan)
    parent, lost, looped = _parents(spans)
    children = _children(parent, start)
    order, depth = _walk(children, len(spans))
    end = _ends(start, duration, parent, order)
    flags = _flags(spans, start, end, duration, parent, lost)
    for index in np.flatnonzero(looped):
        flags[index].insert(0, "loop")
    added = spans.assign(
        depth=depth,
        offset_ms=start,
        length_ms=end - start,
        self_ms=[_self(index, children[index], start, end) for index in range(len(spans))],
        critical=_critical(children, start, end),
        flags=[", ".join(each) for each in flags],
    )
    return added.iloc[order].reset_index(drop=True)


def lanes(rows: pd.DataFrame, most: int = 40, per_depth: int = 6) -> npt.NDArray[np.int64]:
    """For each of `rows` the line, from 0, on which it overlaps none of its depth: those of a depth stand together.

    Of a depth with more than `per_depth` at once, and below line `most`, spans lie over each other.
    """
    start, length = rows["offset_ms"].to_numpy(float), rows["length_ms"].to_numpy(float)
    depth = rows["depth"].to_numpy(int)
    line = np.zeros(len(rows), np.int64)
    above = 0
    for level in range(int(depth.max(initial=0)) + 1):
        if above >= most:
            line[depth >= level] = most - 1
            break
        free: list[tuple[float, int]] = []  # when each line of this depth is free again
        at_depth = np.flatnonzero(depth == level)
        for index in at_depth[np.argsort(start[at_depth], kind="stable")]:
            if free and (free[0][0] <= start[index] or len(free) == per_depth):
                _, own = heapq.heappop(free)
            else:
                own = len(free)
            heapq.heappush(free, (start[index] + length[index], own))
            line[index] = min(above + own, most - 1)
        above += len(free)
    return line


def _offsets(started_at: pd.Series) -> _Floats:
    offsets: _Floats = ((started_at - started_at.min()) / pd.Timedelta(milliseconds=1)).to_numpy(float)
    return offsets


def _parents(spans: pd.DataFrame) -> tuple[list[int], npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """The parent of each span by its place, `_TOP` for none; whose parent is not here; where a loop was cut."""
    place = {span_id: index for index, span_id in enumerate(spans["span_id"].to_list())}
    named = [None if pd.isna(parent_id) else parent_id for parent_id in spans["parent_id"].to_list()]
    parent = [_TOP if parent_id is None else place.get(parent_id, _TOP) for parent_id in named]
    lost = np.array([parent_id is not None and parent_id not in place for parent_id in named], bool)
    looped = np.zeros(len(spans), bool)
    known = np.zeros(len(spans), bool)  # leads to a top
    for index in spans["started_at"].argsort(kind="stable"):
        path, at = [], int(index)
        on_path = set()
        while at != _TOP and not known[at] and at not in on_path:
            on_path.add(at)
            path.append(at)
            at = parent[at]
        if at != _TOP and not known[at]:  # came back to where it was: the first of the loop becomes a top
            cut = min(path[path.index(at) :], key=lambda each: spans["started_at"].iloc[each])
            parent[cut], looped[cut] = _TOP, True
        known[path] = True
    return parent, lost, looped


def _children(parent: list[int], start: _Floats) -> dict[int, list[int]]:
    children: dict[int, list[int]] = defaultdict(list)
    for index in np.argsort(start, kind="stable"):
        children[parent[index]].append(int(index))
    return children


def _walk(children: dict[int, list[int]], count: int) -> tuple[list[int], npt.NDArray[np.int64]]:
    """All spans, parents first, and how deep each lies. Without recursion: a trace may be thousands deep."""
    order, depth = [], np.zeros(count, np.int64)
    waiting = [(index, 0) for index in reversed(children[_TOP])]
    while waiting:
        index, level = waiting.pop()
        order.append(index)
        depth[index] = level
        waiting += [(child, level + 1) for child in reversed(children[index])]
    return order, depth


def _ends(start: _Floats, duration: _Floats, parent: list[int], order: list[int]) -> _Floats:
    """The end of each; where none was sent, that of the last which began inside."""
    end = start + np.nan_to_num(duration, nan=0.0)
    open_ = np.isnan(duration)
    for index in reversed(order):
        above = parent[index]
        if above != _TOP and open_[above]:
            end[above] = max(end[above], end[index])
    return end


def _self(index: int, inside: list[int], start: _Floats, end: _Floats) -> float:
    """What is left of a span without the time in which one of its children ran."""
    covered, reached = 0.0, start[index]
    for child in inside:  # by start
        since, until = max(start[child], reached), min(end[child], end[index])
        if until > since:
            covered += until - since
            reached = until
    return float(max(end[index] - start[index] - covered, 0.0))


def _critical(children: dict[int, list[int]], start: _Floats, end: _Floats) -> npt.NDArray[np.bool_]:
    """Back from the end: the child that ended last, then the one that ended last before that began, and into each."""
    critical = np.zeros(len(start), bool)
    waiting = [(_TOP, float(end.max(initial=0.0)))]
    while waiting:
        index, until = waiting.pop()
        since = 0.0 if index == _TOP else start[index]
        if index != _TOP:
            critical[index] = True
        whole = until
        for child in sorted(children[index], key=lambda each: -end[each]):
            ended = min(end[child], whole)
            began = max(start[child], since)
            if ended <= until and began < ended:
                waiting.append((child, ended))
                until = began
    return critical


def _flags(
    spans: pd.DataFrame,
    start: _Floats,
    end: _Floats,
    duration: _Floats,
    parent: list[int],
    lost: npt.NDArray[np.bool_],
) -> list[list[str]]:
    flags: list[list[str]] = []
    for index, span_id in enumerate(spans["span_id"].to_list()):
        said, above = [], parent[index]
        if above != _TOP and start[index] < start[above]:
            said.append("starts before its parent")
        if above != _TOP and not np.isnan(duration[above]) and end[index] > end[above] + 0.001:  # stored in µs
            said.append("ends after its parent")
        if lost[index]:
            said.append("no parent")
        if span_id == SUMMARY:
            said.append("summary only")
        elif np.isnan(duration[index]):
            said.append("no end")
        flags.append(said)
    return flags
