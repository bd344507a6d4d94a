"""What cannot be a message is told so, whatever it is."""

import msgpack
import pytest

from scitq import wire
from scitq.errors import BadMessage

TOWER = b"\x91" * 100_000 + b"\xc0"


@pytest.mark.parametrize("decode", [wire.decode_request, wire.decode_answer, wire.unpack_spec])
@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"\xc1",
        TOWER,
        b"\x82\xa4type\xa6submit\xa5specs" + TOWER,
        b"\x81\xa7command" + TOWER,
        b"\x82\xa4type\xa6submit\xa7request\xa1\xff",
    ],
)
def test_bytes_that_are_no_message_are_one_kind_of_error(decode: object, frame: bytes) -> None:
    with pytest.raises(BadMessage):
        decode(frame)  # type: ignore[operator]


def test_an_id_below_a_tower_is_no_id() -> None:
    assert wire.request_id(b"\x82\xa1x" + TOWER + b"\xa2id\x05") is None


@pytest.mark.parametrize("number", [-1, 2**53 + 1, 2**64 - 1])
def test_numbers_that_could_pass_every_bound_later_are_refused(number: int) -> None:
    for chunk in ([[number, 1, 1], "stdout", 0, b"x"], [[1, 1, 1], "stdout", number, b"x"]):
        with pytest.raises(BadMessage):
            wire.decode_request(msgpack.packb({"type": "report", "chunks": [chunk]}))


@pytest.mark.parametrize("seconds", [float("nan"), float("inf"), 1e300])
def test_durations_that_are_none_are_refused(seconds: float) -> None:
    end = [[1, 1, 1], {"status": "failed", "run_seconds": seconds}, 1.0, 2.0]
    with pytest.raises(BadMessage):
        wire.decode_request(msgpack.packb({"type": "report", "ends": [end]}))
