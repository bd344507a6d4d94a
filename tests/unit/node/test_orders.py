from scitq.node.orders import Ended, Kept, ended

STREAM = [0, 0, 0, 0, b"", ""]
BEFORE = ["end", "1.1", 0, None, None, False, None, 10.0, 15.0, 5.0, 0.0, 3.5, 4096, STREAM, STREAM]
"""As a keeper of the first releases recorded it."""


def test_an_end_recorded_before_io_was_counted_is_read() -> None:
    quiet = Kept(total=0, head=0, tail_start=0, ring=0, inline=b"", note="")

    assert ended(BEFORE) == Ended("1.1", 0, None, None, False, None, 10.0, 15.0, 5.0, 0.0, 3.5, 4096, quiet, quiet)


def test_what_a_keeper_counted_of_io_is_read() -> None:
    found = ended([*BEFORE, 1024, 2048])

    assert (found.read_bytes, found.written_bytes) == (1024, 2048)
