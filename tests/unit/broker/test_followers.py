"""Who follows what stays right when an id names another subscription, and when an attempt leaves no trace."""

from typing import TYPE_CHECKING, cast

from scitq import wire
from scitq.broker.followers import Followers
from scitq.wire import Ref
from tests.pure_broker import PureBroker
from tests.unit.broker.small_mesh import mesh, plain, submit

if TYPE_CHECKING:
    from scitq.broker.logs import LogStore

ROUTE = b"client"


def followers_of(broker: PureBroker) -> Followers:
    return Followers(broker.state, cast("LogStore", broker.books), lambda route, given: True)


def live(task: int) -> wire.Chunk:
    return wire.Chunk(Ref(task, 1, 1), "stdout", 0, b"x", live=True)


def test_an_id_that_is_used_again_names_the_new_subscription() -> None:
    broker = mesh((2, 0))
    submit(broker, *plain(2))
    broker.settle()
    followers = followers_of(broker)
    for task in (1, 2):
        followers.follow_output(ROUTE, wire.FollowOutput(id=7, task=task))
    assert not followers.live((live(1),))
    assert [send.message.task for send in followers.live((live(2),))] == [2]  # type: ignore[union-attr]
    followers.follow(ROUTE, wire.Follow(id=7, tasks=(1,)))
    assert not followers.live((live(2),))
    followers.unfollow(ROUTE, 7)
    followers.after(broker.entries)
    assert not followers.tell()


def test_an_attempt_that_was_given_back_is_followed_by_the_next() -> None:
    broker = mesh((1, 0))
    submit(broker, *plain(1))
    broker.settle()
    followers = followers_of(broker)
    followers.follow_output(ROUTE, wire.FollowOutput(id=7, task=1))
    seen = len(broker.entries)
    broker.report(1, wire.Report(returned=(Ref(1, 1, 1),)))
    followers.after(broker.entries[seen:])
    assert followers.tell() == []
    broker.settle()
    chunk = wire.Chunk(Ref(1, 2, 1), "stdout", 0, b"x", live=True)
    (send,) = followers.live((chunk,))
    assert isinstance(send.message, wire.OutputPart)
    assert (send.message.attempt, send.message.data) == (2, b"x")


def test_live_output_of_a_deleted_task_goes_nowhere() -> None:
    broker = mesh()
    submit(broker, *plain(1))
    followers = followers_of(broker)
    followers.follow_output(ROUTE, wire.FollowOutput(id=7, task=1))
    broker.ask(wire.Delete(id=1, select=wire.Select(ids=(1,))))
    assert followers.live((live(1),)) == []


def test_a_place_before_the_first_byte_is_the_first_byte() -> None:
    broker = mesh((1, 0))
    submit(broker, *plain(1))
    broker.settle()
    followers = followers_of(broker)
    followers.follow_output(ROUTE, wire.FollowOutput(id=7, task=1, stdout=-5))
    (send,) = followers.live((live(1),))
    assert (send.message.offset, send.message.gap) == (0, 0)  # type: ignore[union-attr]
