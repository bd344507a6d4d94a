"""A snapshot says what its state says, where the state machine of tests/property needs luck to look."""

from scitq.broker import events
from tests.pure_broker import PureBroker, dump, refold


def test_a_key_that_was_revoked_under_one_name_and_given_to_another_stays_valid() -> None:
    broker = PureBroker()
    for fact in (
        events.AccessGranted("bob", "user", "old"),
        events.AccessGranted("ann", "user", "key"),
        events.AccessRevoked("ann"),
        events.AccessRevoked("bob"),
        events.AccessGranted("bob", "user", "key"),
    ):
        broker.record(fact)
    assert list(broker.state.keys) == ["key"]
    assert dump(refold(broker.state)) == dump(broker.state)
