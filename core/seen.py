"""Which spans may be in the store already, told from memory in a microsecond."""

import numpy as np
import numpy.typing as npt

__all__ = ["Hashes", "Seen"]

Hashes = npt.NDArray[np.uint64]

_SHIFTS = tuple(np.uint64(shift) for shift in (34, 40, 46, 52, 58))  # five numbers of six bits: a word's bits
_SIX_BITS = np.uint64(63)
_ONE = np.uint64(1)
_FULL = 3  # keys a word: up to 1 in 1,000 new keys is then mistaken for a stored one


class Seen:
    """A Bloom filter of 64-bit hashes: what `may_hold` denies was never added; what it affirms must be looked up.

    All five bits of a key lie in one word of 64, so that a look is one access to memory. 4 to 8 bytes a key.
    """

    def __init__(self, expected: int) -> None:
        self._words = np.zeros(1 << max(16, (expected // 2).bit_length()), np.uint64)
        self._room = _FULL * len(self._words)

    @property
    def full(self) -> bool:
        """Whether so many keys were added that a larger filter should take its place."""
        return self._room < 0

    def add(self, hashes: Hashes) -> None:
        """Remember the keys with these hashes."""
        np.bitwise_or.at(self._words, self._places(hashes), _bits(hashes))
        self._room -= len(hashes)

    def may_hold(self, hashes: Hashes) -> npt.NDArray[np.bool_]:
        """For each hash, whether a key with it may have been added."""
        bits = _bits(hashes)
        held: npt.NDArray[np.bool_] = (self._words[self._places(hashes)] & bits) == bits
        return held

    def _places(self, hashes: Hashes) -> Hashes:
        return hashes & np.uint64(len(self._words) - 1)


def _bits(hashes: Hashes) -> Hashes:
    bits = np.zeros_like(hashes)
    for shift in _SHIFTS:
        bits |= _ONE << ((hashes >> shift) & _SIX_BITS)
    return bits
