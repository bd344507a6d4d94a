"""How much is moved."""

from typing import NamedTuple


class Size(NamedTuple):
    """Bytes of the large files, number of small files and of keys, runs."""

    large: int
    azure: int
    small: int
    keys: int
    simulated: int  # keys
    web: int
    runs: int


SHORT = Size(large=256 << 20, azure=64 << 20, small=300, keys=2_000, simulated=100_000, web=128 << 20, runs=3)
FULL = Size(large=2 << 30, azure=512 << 20, small=2_000, keys=20_000, simulated=1_000_000, web=1 << 30, runs=3)
