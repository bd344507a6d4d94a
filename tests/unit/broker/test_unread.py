"""What lies here for a connection is counted until libzmq gives it back."""

import zmq

from scitq.broker.unread import OVERHEAD, TRACKED_FROM, Unread

ROUTE = b"client"


class Tracker:
    done = False


def test_what_is_held_is_counted_until_it_is_let_go() -> None:
    unread = Unread()
    for frame in (b"four", b"threes"):
        unread.hold(7, frame)
    assert unread.of(7) == 10 + 2 * OVERHEAD
    unread.let_go(7, b"four")
    assert unread.of(7) == 6 + OVERHEAD
    unread.let_go(7, b"threes")
    assert unread.of(7) == 0
    assert list(unread.above(-1)) == []


def test_what_is_lent_is_counted_until_it_is_given_back_in_order() -> None:
    unread = Unread()
    first, second = Tracker(), Tracker()
    unread.lend(ROUTE, first, 100)  # type: ignore[arg-type]
    unread.lend(ROUTE, second, 50)  # type: ignore[arg-type]
    assert unread.of(ROUTE) == 150
    assert list(unread.above(149)) == [ROUTE]
    assert list(unread.above(150)) == []
    second.done = True
    assert unread.of(ROUTE) == 150
    first.done = True
    assert list(unread.above(-1)) == [ROUTE]
    assert unread.of(ROUTE) == 0


def test_libzmq_gives_back_what_was_read_and_what_nobody_will_read() -> None:
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    with context, context.socket(zmq.ROUTER) as router, context.socket(zmq.DEALER) as dealer:
        router.copy_threshold = TRACKED_FROM
        dealer.linger = 0
        dealer.connect(f"tcp://127.0.0.1:{router.bind_to_random_port('tcp://127.0.0.1')}")
        dealer.send(b"")
        route, _ = router.recv_multipart()
        for _ in range(20):
            router.send(route, zmq.SNDMORE)
            read = router.send(bytes(TRACKED_FROM), copy=False, track=True)
            dealer.recv()
        read.wait(10)
        for _ in range(20):
            router.send(route, zmq.SNDMORE)
            unread = router.send(bytes(1 << 20), copy=False, track=True)
        assert not unread.done
        dealer.close()
        while not unread.done:
            router.poll(10)
