"""Bytes that no honest peer sends, from a seed: valid requests of every type, bent in fields or bytes.

The same seed gives the same messages as long as the same attempts are told to it (`refs`).
"""

import copy
import random
from collections.abc import Callable, Iterator
from typing import Any

import msgpack
from msgspec import inspect

from scitq import wire
from scitq.model import Spec

# Values that code trips over, whatever was expected in their place.
NASTY: tuple[object, ...] = (
    None, True, False, 0, -1, 1, 255, 2**31, -(2**31) - 1, 2**53 + 1, 2**63 - 1, 2**63, 2**64 - 1, -(2**63),
    0.0, -0.0, 1e308, -1e308, 5e-324, float("nan"), float("inf"), float("-inf"), 1e18, -1e18,
    "", "\0", "a\0b", "\x1b[2J", "\r\n", "\u202e", "\ud800", "é" * 300, "x" * 20_000, "*", "/", "..", "{n}", "{", "}",
    b"", b"\0", b"\xff" * 40, b"x" * 60_000,
    [], [[]], {}, {"": ""}, [None], {"type": "submit"}, [0] * 3_000, list(range(40)), {"id": {"id": {}}},
    msgpack.Timestamp(0, 0), msgpack.ExtType(5, b"x"),
)  # fmt: skip
DEPTHS = (3, 60, 900, 1_100, 30_000)
_DEEP = b"\0this lies deep\0"  # becomes a tower of arrays or maps when it is encoded

# What a field of this name may hold so that the broker looks further.
WORDS: dict[str, tuple[object, ...]] = {
    "command": ("true", "echo {n}", "x", b"\xff"),
    "batch": ("a", "b", "Default"),
    "name": ("", "a", "w1", "w2", "job {n}"),
    "worker": ("id-w1", "w1", "w1", "w9"),
    "request": tuple(f"r{number}" for number in range(500)),
    "key": ("Yne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hID", "x", ""),
    "inputs": ("/a", "file:///b/", "s3://bucket/x|gunzip", "nope://x"),
    "resources": ("/r", "https://h/x.tgz|untar"),
    "output": ("", "", "/out/", "s3://bucket/o/"),
    "status": ("pending", "running", "failed", "succeeded", "nope"),
    "mesh": ("", "other"),
    "reason": ("", "exit code 1", "no\nline"),
    "note": ("", "cut"),
    "container": ("", "", "", "ubuntu"),
    "container_options": ("", "", "", "--rm"),
    "versions": ("etag", ""),
    "after": ("", "a", "w1"),
}
NUMBERS: dict[str, tuple[int, ...]] = {
    "protocol": (wire.PROTOCOL,) * 6 + (0, 2),
    "part": (0, 0, 0, 1, 5_000),
    "count": (1, 2, 3, 20, 10_000_001),
    "concurrency": (0, 1, 2, 50),
    "log_limit": (0, 10, 1 << 20),
    "bytes": (1, 1_000, 1 << 20, 1 << 40),
    "retry": (0, 0, 1, 3),
    "requires": (1, 2, 3),
    "limit": (0, 1, 5, 1_000, 1 << 40),
}

SELDOM = frozenset(
    {"cancel", "delete", "batch_delete", "worker_delete", "batch_stop", "bye"}
)  # they leave little to try upon


class Generator:
    """Messages of one hostile peer, half of them of the types named `often`.

    `refs` are attempts that it was given: what it says of them may be believed.
    """

    def __init__(self, seed: object, often: tuple[str, ...] = ()) -> None:
        self.random = random.Random(str(seed))
        self.refs: list[wire.Ref] = []
        kinds = inspect.type_info(wire.Request)
        assert isinstance(kinds, inspect.UnionType)
        self._kinds = [kind for kind in kinds.types if isinstance(kind, inspect.StructType)]
        self._often = [kind for kind in self._kinds if kind.tag in often]

    def messages(self, count: int) -> Iterator[list[bytes]]:
        """So many messages, each a list of frames."""
        for _ in range(count):
            yield self.message()

    def message(self) -> list[bytes]:
        """One message: random bytes, or a request that is valid, bent, or broken."""
        toss = self.random.random()
        if toss < 0.03:
            return [self.random.randbytes(self.random.choice((0, 1, 2, 9, 300)))]
        kind = self.random.choice(self._often if self._often and self.random.random() < 0.5 else self._kinds)
        if kind.tag in SELDOM and self.random.random() < 0.9:
            return self.message()
        tree = self.value(kind, "")
        if toss < 0.30:
            return [pack(tree)]
        if toss < 0.75:
            for _ in range(self.random.choice((1, 1, 1, 2, 4))):
                tree = self.bent(tree)
            return [pack(tree)]
        frame = pack(tree)
        if toss < 0.96:
            return [self.broken(frame)]
        return self.random.choice(([frame, frame], [b"", frame], [frame, b""], [b""] * 20, [frame] * 5))

    # ---------------------------------------------------------------------------- valid values

    def value(self, kind: inspect.Type, name: str) -> Any:
        """A plain value of a type; `name` is the field it stands in."""
        make = _MAKERS.get(type(kind))
        assert make is not None, kind
        return make(self, kind, name)

    def _struct(self, kind: inspect.StructType, name: str) -> object:
        if kind.cls is wire.Ref and self.refs and self.random.random() < 0.7:
            ref = self.random.choice(self.refs)
            return [ref.task, ref.attempt, ref.epoch]
        if kind.array_like:
            return [self.value(field.type, field.name) for field in kind.fields]
        tree: dict[str, object] = {} if kind.tag is None else {"type": kind.tag}
        for field in kind.fields:
            if field.required or self.random.random() < 0.3:
                tree[field.encode_name] = self.value(field.type, field.name)
        if kind.cls is wire.Submit and self.random.random() < 0.9:
            tree.pop("array" if "specs" in tree else "specs", None)
        return tree

    def _specification(self, name: str) -> object:
        return self.value(_SPEC, name)

    def _integer(self, name: str) -> int:
        if name in NUMBERS:
            return self.random.choice(NUMBERS[name])
        return self.random.choice((0, 1, 1, 1, 2, 3, 7, 40, 200))

    def _text(self, name: str) -> object:
        return self.random.choice(WORDS.get(name, ("", "a", "b", "1", "x y")))

    def _any(self, name: str) -> object:
        return self.random.choice((*WORDS.get(name, ("a",)), "text", b"\xff\0"))

    def _several(self, kind: inspect.Type, name: str) -> list[object]:
        return [self.value(kind, name) for _ in range(self.random.choice((0, 1, 1, 2, 5)))]

    # ---------------------------------------------------------------------------- what is done to them

    def bent(self, tree: Any) -> Any:
        """The same tree, one node of it another."""
        places = [(None, None), *_places(tree)]
        holder, key = self.random.choice(places)
        if holder is None:
            if not isinstance(tree, dict) or self.random.random() < 0.9:
                return tree
            return self.random.choice((list(tree.values()), [tree], self.nasty(), {1: tree}))
        way = self.random.random()
        if way < 0.62:
            holder[key] = self.nasty()
        elif way < 0.72 and isinstance(holder, dict):
            holder[self.random.choice(("x", "id", "ids", "\ud800", 5, ""))] = holder.pop(key)
        elif way < 0.80 and isinstance(holder, list):
            holder.insert(key, holder[key])
        elif way < 0.88:
            del holder[key]
        elif isinstance(holder[key], int):
            holder[key] += self.random.choice((1, -1, 2**32, -(2**40)))
        else:
            holder[key] = [holder[key]] * self.random.choice((1, 2, 50))
        return tree

    def nasty(self) -> object:
        """A value to trip over."""
        if self.random.random() < 0.05:
            return _DEEP + self.random.choice((b"[", b"{")) + str(self.random.choice(DEPTHS)).encode()
        return copy.deepcopy(self.random.choice(NASTY))

    def broken(self, frame: bytes) -> bytes:
        """The same bytes, but for a few."""
        data = bytearray(frame)
        for _ in range(self.random.choice((1, 1, 2, 8))):
            at = self.random.randrange(len(data) + 1)
            way = self.random.random()
            if way < 0.5 and at < len(data):
                data[at] = self.random.randrange(256)
            elif way < 0.65:
                del data[at:]
            elif way < 0.8:
                data[at:at] = self.random.randbytes(self.random.choice((1, 3, 60)))
            elif way < 0.9:
                del data[at : at + self.random.choice((1, 2, 5))]
            else:
                data[at:at] = data[: self.random.randrange(len(data) + 1)]
        return bytes(data)


def pack(tree: object) -> bytes:
    """Plain msgpack, surrogates and towers included."""
    frame: bytes = msgpack.packb(tree, unicode_errors="surrogatepass", default=str)
    while (at := frame.find(_DEEP)) >= 0:
        size = frame[at - 1]  # a short `bin`: its mark, its length, its bytes
        kind, depth = frame[at + len(_DEEP) : at + len(_DEEP) + 1], int(frame[at + len(_DEEP) + 1 : at + size])
        tower = (b"\x91" if kind == b"[" else b"\x81\xa1a") * depth + b"\xc0"
        frame = frame[: at - 2] + tower + frame[at + size :]
    return frame


def _places(tree: Any) -> Iterator[tuple[Any, Any]]:
    children = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, child in list(children):
        yield tree, key
        yield from _places(child)


_MAKERS: dict[type, Callable[[Generator, Any, str], object]] = {
    inspect.StructType: Generator._struct,
    inspect.RawType: lambda self, kind, name: self._specification(name),
    inspect.IntType: lambda self, kind, name: self._integer(name),
    inspect.FloatType: lambda self, kind, name: self.random.choice((0.0, 1.5, 1e9, 60.0)),
    inspect.StrType: lambda self, kind, name: self._text(name),
    inspect.BytesType: lambda self, kind, name: self.random.randbytes(self.random.choice((0, 5, 300))),
    inspect.BoolType: lambda self, kind, name: self.random.random() < 0.5,
    inspect.NoneType: lambda self, kind, name: None,
    inspect.AnyType: lambda self, kind, name: self._any(name),
    inspect.LiteralType: lambda self, kind, name: self.random.choice(kind.values),
    inspect.UnionType: lambda self, kind, name: self.value(self.random.choice(kind.types), name),
    inspect.VarTupleType: lambda self, kind, name: self._several(kind.item_type, name),
    inspect.TupleType: lambda self, kind, name: [self.value(item, name) for item in kind.item_types],
    inspect.DictType: lambda self, kind, name: {
        str(self._text("key_of")): self.value(kind.value_type, name) for _ in range(self.random.choice((0, 1, 2)))
    },
}
_SPEC = inspect.type_info(Spec)
