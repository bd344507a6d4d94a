"""One object stored by several parts, several at once: no more of them are in memory than are on their way."""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from scitq.fetch.bodies import Body
from scitq.fetch.retries import patiently
from scitq.fetch.storage import Watch

if TYPE_CHECKING:
    from concurrent.futures import Future

_MIB = 1 << 20
_PART = 16 * _MIB
_MOST = 9000  # parts of one object: S3 allows 10,000, Azure 50,000


def part_size(size: int) -> int:
    """How large the parts of an object of this size are, in bytes; all but the last are equal."""
    return max(_PART, -(-size // (_MOST * _MIB)) * _MIB)


def growing(number: int) -> int:
    """How large this part (from 1) is when nobody knows how many will come: 16 MiB, twice as much each 1,000 parts.

    So 9,000 parts hold 8 TiB, more than any object may.
    """
    return _PART << ((number - 1) // 1000)


def in_parts(
    bodies: Iterable[Body], store: Callable[[int, Body], str], at_once: int, tries: int, watch: Watch
) -> list[str]:
    """Store each body, numbered from 1, as one part; returns what `store` does, in order.

    A part that fails is tried again by itself. Raises what `bodies` and `store` do, when no part is on its way.
    """
    from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait  # not at the start of every transfer

    tags: dict[int, str] = {}

    def some_ended(futures: "set[Future[None]]") -> "set[Future[None]]":
        """Wait for the next to end; raises as it did; returns the others."""
        ended, others = wait(futures, return_when=FIRST_COMPLETED)
        for future in ended:
            future.result()
        return others

    def one(number: int, body: Body) -> None:
        tags[number] = patiently(lambda: store(number, body), watch, tries)

    with ThreadPoolExecutor(at_once) as pool:
        on_their_way: set[Future[None]] = set()
        try:
            for number, body in enumerate(bodies, start=1):
                on_their_way.add(pool.submit(one, number, body))
                if len(on_their_way) == at_once:
                    on_their_way = some_ended(on_their_way)
            while on_their_way:
                on_their_way = some_ended(on_their_way)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return [tags[number] for number in sorted(tags)]
