"""The scale on which latencies are forecast: a logarithm that has no unit and keeps forecasts above zero."""

from dataclasses import dataclass

import numpy as np

from core.analysis.hours import Floats

__all__ = ["Transform", "chosen"]


@dataclass(frozen=True)
class Transform:
    """`z = log(1 + y/scale)`, the identity where `scale` is None.

    Values brought back from z are held within `lowest` and `highest`.
    """

    scale: float | None
    lowest: float = 0.0
    highest: float = np.inf

    def to_z(self, y: Floats) -> Floats:
        """Values to the scale of the fit."""
        return y if self.scale is None else np.log1p(y / self.scale)

    def to_y(self, z: Floats) -> Floats:
        """Back to the measure's unit."""
        return np.clip(z if self.scale is None else self.scale * np.expm1(z), self.lowest, self.highest)

    def level(self, threshold: float) -> float:
        """The z above which `to_y` is above the threshold: infinite where that can't be, or can't fail to be."""
        if threshold >= self.highest:
            return np.inf
        if threshold < self.lowest:
            return -np.inf
        return threshold if self.scale is None else float(np.log1p(threshold / self.scale))


def chosen(y: Floats, highest: float = np.inf) -> Transform:
    """The transform for these values (NaN is missing): the scale is a tenth of the median of the positive ones.

    With any value below 0 the identity, and then no floor at 0.
    """
    if (y < 0).any():
        return Transform(None, -np.inf, highest)
    positive = y[y > 0]
    return Transform(0.1 * float(np.median(positive)) if len(positive) else 1.0, highest=highest)
