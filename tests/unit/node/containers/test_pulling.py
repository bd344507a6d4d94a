"""Lines as docker and podman tell them."""

from typing import Any

from scitq.node.containers.pulling import Layers


def line(status: str, layer: str = "", current: int | None = None, total: int | None = None) -> dict[str, Any]:
    detail = {} if current is None else {"current": current, "total": total}
    return {"status": status, "progressDetail": detail, **({"id": layer} if layer else {})}


def test_a_pull_of_docker() -> None:
    layers = Layers()
    layers.take(line("Pulling from library/ubuntu", "22.04"))
    assert str(layers) == "its layers are asked for"
    for one in "abc":
        layers.take(line("Pulling fs layer", one))
    layers.take(line("Already exists", "d"))
    assert (str(layers), layers.here, layers.total) == ("1 of 4 layers", 0, 0)

    layers.take(line("Waiting", "c"))
    layers.take(line("Downloading", "a", 10, 100))
    layers.take(line("Downloading", "b", 20, 200))
    layers.take(line("Downloading", "a", 60, 100))
    assert (str(layers), layers.here, layers.total) == ("1 of 4 layers", 80, 300)

    layers.take(line("Verifying Checksum", "a"))
    layers.take(line("Download complete", "a"))
    assert (str(layers), layers.here, layers.total) == ("2 of 4 layers", 120, 300)

    layers.take(line("Extracting", "a", 5, 100))
    layers.take(line("Pull complete", "a"))
    for one in "bc":
        layers.take(line("Download complete", one))
    assert (str(layers), layers.here) == ("2 of 4 layers unpacked", 300)

    for one in "bc":
        layers.take(line("Pull complete", one))
    layers.take(line("Digest: sha256:0"))
    layers.take(line("Status: Downloaded newer image for ubuntu:22.04"))
    assert str(layers) == "4 of 4 layers unpacked"


def test_a_failed_layer_begins_anew() -> None:
    layers = Layers()
    layers.take(line("Downloading", "a", 90, 100))
    layers.take(line("Retrying in 5 seconds", "a"))
    layers.take(line("Downloading", "a", 10, 100))
    assert (str(layers), layers.here) == ("0 of 1 layers", 10)
