from itertools import pairwise
from random import Random

from scitq.fetch.spans import Spans


def test_it_holds_what_a_set_of_bytes_would_hold() -> None:
    draw = Random(7)
    for _ in range(300):
        spans, plain = Spans(), set[int]()
        for _ in range(draw.randrange(12)):
            begin = draw.randrange(40)
            end = begin + draw.randrange(9)
            spans.add(begin, end)
            plain |= set(range(begin, end))

        told = spans.all()
        assert {byte for begin, end in told for byte in range(begin, end)} == plain
        assert all(end < begin for (_, end), (begin, _) in pairwise(told))
        missing = spans.missing(50, 7)
        assert {byte for begin, end in missing for byte in range(begin, end)} == set(range(50)) - plain
        assert all(0 < end - begin <= 7 for begin, end in missing)
        assert spans.front == next(byte for byte in range(51) if byte not in plain)
        assert spans.end == max(plain, default=-1) + 1
