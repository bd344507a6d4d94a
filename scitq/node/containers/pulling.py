"""How far the pull of an image is, by what the engine tells of its layers line by line. Pure."""

from typing import Any

_BEGUN = frozenset({"Pulling fs layer", "Waiting", "Downloading", "Verifying Checksum"})
_FETCHED = frozenset({"Download complete", "Extracting"})
_HERE = frozenset({"Pull complete", "Already exists"})


class Layers:
    """The layers of one pull, as far as they are known of."""

    def __init__(self) -> None:
        self._fetched: dict[str, bool] = {}
        self._unpacked: set[str] = set()
        self._bytes: dict[str, tuple[int, int]] = {}

    def take(self, line: dict[str, Any]) -> None:
        """A line of the engine's answer; what is none of a layer's tells nothing."""
        layer, status = line.get("id"), line.get("status")
        if not layer or status not in _BEGUN | _FETCHED | _HERE:
            return
        self._fetched[layer] = self._fetched.get(layer, False) or status not in _BEGUN
        if status in _HERE:
            self._unpacked.add(layer)
        detail = line.get("progressDetail") or {}
        if status == "Downloading" and detail.get("total"):
            self._bytes[layer] = (detail.get("current", 0), detail["total"])
        elif self._fetched[layer] and layer in self._bytes:
            self._bytes[layer] = (self._bytes[layer][1],) * 2

    @property
    def here(self) -> int:
        """Bytes that have come."""
        return sum(here for here, _ in self._bytes.values())

    @property
    def total(self) -> int:
        """Bytes of all layers whose size is known: it grows while more of them begin."""
        return sum(total for _, total in self._bytes.values())

    def __str__(self) -> str:
        """As `3 of 7 layers`; of those that are fetched, when all are, how many are unpacked."""
        count, fetched = len(self._fetched), sum(self._fetched.values())
        if not count:
            return "its layers are asked for"
        if fetched < count:
            return f"{fetched} of {count} layers"
        return f"{len(self._unpacked)} of {count} layers unpacked"
