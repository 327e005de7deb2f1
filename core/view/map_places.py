"""Where each name stands on the service map: in columns, who calls left of who is called."""

from typing import NamedTuple

import pandas as pd

__all__ = ["Place", "places"]


class Place(NamedTuple):
    """Where a name stands on the map: 0 is the first column and the first row."""

    name: str
    column: int
    row: int


def places(calls: pd.DataFrame, names: list[str]) -> list[Place]:
    """A place for each of `names`: who is called by nobody in the first column, each other right of who calls it.

    `calls`: `caller`, `callee`. In a ring of calls the one that comes first among `names` stands left. Within a column
    names keep their order.
    """
    callees: dict[str, list[str]] = {name: [] for name in names}
    for caller, callee in calls[["caller", "callee"]].itertuples(index=False):
        if caller in callees and callee in callees:
            callees[caller].append(callee)
    called = {callee for each in callees.values() for callee in each}
    order: list[str] = []  # who is called after who calls it, but for the last call of a ring
    for root in [name for name in names if name not in called] + names:
        _walk(root, callees, order)
    order.reverse()
    column = dict.fromkeys(names, 0)
    for place, name in enumerate(order):
        for callee in callees[name]:
            if callee in order[place + 1 :]:
                column[callee] = max(column[callee], column[name] + 1)
    rows = dict.fromkeys(column.values(), 0)
    found = []
    for name in names:
        found.append(Place(name, column[name], rows[column[name]]))
        rows[column[name]] += 1
    return found


def _walk(root: str, callees: dict[str, list[str]], order: list[str]) -> None:
    """Put `root` and all that can be reached from it behind `order`, each after those that it calls."""
    seen, path = set(order), [(root, iter(callees[root]))]
    if root in seen:
        return
    seen.add(root)
    while path:
        name, rest = path[-1]
        unseen = next((callee for callee in rest if callee not in seen), None)
        if unseen is None:
            order.append(name)
            path.pop()
        else:
            seen.add(unseen)
            path.append((unseen, iter(callees[unseen])))
