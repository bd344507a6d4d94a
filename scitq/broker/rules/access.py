"""Keys that the broker accepts. The answer to `access_create` needs the server's key, which the loop knows."""

from scitq import wire
from scitq.broker import events
from scitq.broker.commands import Decision, Peer
from scitq.broker.state import State
from scitq.errors import Conflict, NotFound, UsageError

KEY_LENGTH = 40


def create(state: State, peer: Peer, message: wire.AccessCreate, decision: Decision) -> None:
    """Accept a public key under a new name."""
    if not message.name or not message.name.isprintable() or "/" in message.name:
        raise UsageError(f"{message.name!r} is no name for a key: printable characters without /")
    if len(message.key) != KEY_LENGTH or not message.key.isascii() or not message.key.isprintable():
        raise UsageError(f"a public key has {KEY_LENGTH} characters of Z85")
    known = state.access.get(message.name)
    if known is not None and known.revoked_at is None:
        if (known.key, known.role) == (message.key, message.role):
            return  # the same request again
        raise Conflict(f"there is a key named {message.name} already: revoke it first, or choose another name")
    if message.key in state.keys:
        raise Conflict(f"this key is {state.keys[message.key].name}'s already")
    decision.fact(events.AccessGranted(message.name, message.role, message.key))


def revoke(state: State, peer: Peer, message: wire.AccessRevoke, decision: Decision) -> None:
    """Accept a key no more; its connections end with the loop's next look at them."""
    known = state.access.get(message.name)
    if known is None:
        raise NotFound(f"there is no key named {message.name}")
    if known.key == "" or known.revoked_at is not None:
        raise Conflict(f"the key {message.name} is revoked already")
    decision.fact(events.AccessRevoked(message.name))
    decision.send(peer.route, wire.Done(id=message.id, count=1))
