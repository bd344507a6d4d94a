import itertools
import os
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scitq.broker.log_reader import LogsDamaged
from scitq.broker.log_records import RECORD_BYTES, Stream, files_of, place_of
from scitq.broker.logs import LogsFailed, LogStore

OUT = Stream(1, 1, 0)
ERR = Stream(1, 1, 1)


def sync(store: LogStore) -> None:
    store.write(store.take())


def whole(store: LogStore, pointer: int, page: int = 1 << 20) -> bytes:
    """A stream read page by page."""
    found = bytearray()
    while pieces := store.read(pointer, len(found), page):
        for offset, data in pieces:
            assert offset == len(found)
            found += data
    return bytes(found)


def log_files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_what_is_appended_is_read_before_and_after_it_is_written(tmp_path: Path) -> None:
    store = LogStore.open(tmp_path)
    first = store.append(None, OUT, 0, b"one ")
    last = store.append(first, OUT, 4, b"two")
    assert store.read(last, 0, 100) == [(0, b"one "), (4, b"two")]
    batch = store.take()
    assert store.read(last, 2, 100) == [(2, b"e "), (4, b"two")]
    store.write(batch)
    assert store.read(last, 2, 3) == [(2, b"e "), (4, b"t")]
    assert store.read(first, 0, 100) == [(0, b"one ")]
    assert store.read(last, 7, 100) == []


def test_an_append_and_a_take_touch_no_file(tmp_path: Path) -> None:
    store = LogStore.open(tmp_path)
    store.append(None, OUT, 0, b"text")
    assert store.take()
    assert store.take() == []
    assert log_files(tmp_path) == []


def test_many_small_outputs_are_few_files_and_no_memory(tmp_path: Path) -> None:
    store = LogStore.open(tmp_path, file_bytes=1 << 20)
    pointers = [store.append(None, Stream(task, 1, 0), 0, b"hello from %d\n" % task) for task in range(1, 30_001)]
    sync(store)
    assert len(log_files(tmp_path)) == 2
    assert not store._unwritten
    assert store.read(pointers[12_344], 0, 99) == [(0, b"hello from 12345\n")]


def test_streams_lie_between_one_another(tmp_path: Path) -> None:
    store = LogStore.open(tmp_path, file_bytes=2000)
    last: dict[Stream, int] = {}
    sent: dict[Stream, bytes] = {}
    for turn in range(300):
        stream = Stream(turn % 7 + 1, 1, turn % 2)
        data = bytes([turn % 256]) * (turn % 40 + 1)
        before = sent.get(stream, b"")
        last[stream] = store.append(last.get(stream), stream, len(before), data)
        sent[stream] = before + data
        if turn % 11 == 0:
            sync(store)
    for stream, data in sent.items():
        assert whole(store, last[stream], 50) == data


@given(
    st.lists(st.tuples(st.integers(0, 50), st.binary(min_size=1, max_size=60)), min_size=1, max_size=30), st.data()
)
def test_any_page_of_any_stream_with_gaps(pieces: list[tuple[int, bytes]], data: st.DataObject) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        store = LogStore.open(Path(folder), file_bytes=400)
        pointer, end = None, 0
        stored: dict[int, int] = {}
        for gap, text in pieces:
            end += gap
            pointer = store.append(pointer, OUT, end, text)
            stored.update(enumerate(text, end))
            end += len(text)
        sync(store)
        assert pointer is not None
        start = data.draw(st.integers(0, end + 5))
        limit = data.draw(st.integers(1, 200))
        found = [
            (offset + index, byte)
            for offset, text in store.read(pointer, start, limit)
            for index, byte in enumerate(text)
        ]
        assert found == sorted((offset, byte) for offset, byte in stored.items() if offset >= start)[:limit]
        store.close()


def test_a_long_stream_is_walked_once_however_it_is_paged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = LogStore.open(tmp_path)
    pointer = None
    data = os.urandom(1000)
    for turn in range(20_000):
        pointer = store.append(pointer, OUT, turn * 1000, data)
    sync(store)
    assert pointer is not None
    reads = 0
    real = os.pread

    def counted(*args: int) -> bytes:
        nonlocal reads
        reads += 1
        return real(*args)

    monkeypatch.setattr(os, "pread", counted)
    assert whole(store, pointer, 1 << 20) == data * 20_000
    assert reads < 5 * 20_000
    reads = 0
    more = store.append(pointer, OUT, 20_000_000, b"more")
    assert store.read(more, 20_000_000, 10) == [(20_000_000, b"more")]
    assert reads < 20


def test_a_large_piece_is_stored_in_records_that_a_page_can_prove(tmp_path: Path) -> None:
    store = LogStore.open(tmp_path)
    data = os.urandom(3 << 20)
    pointer = store.append(None, OUT, 0, data)
    sync(store)
    assert [len(piece) for _, piece in store.read(pointer, 0, 8 << 20)] == [1 << 20] * 3
    assert whole(store, pointer, 100_000) == data


def test_a_start_goes_on_after_all_that_is_there(tmp_path: Path) -> None:
    store = LogStore.open(tmp_path)
    pointer = store.append(None, OUT, 0, b"named")
    sync(store)
    with (tmp_path / "00000001.log").open("ab") as file:
        file.write(b"\xf5SqO torn, and named by nobody")
    again = LogStore.open(tmp_path)
    again.hold([pointer])
    more = again.append(pointer, OUT, 5, b", and more")
    sync(again)
    assert whole(again, more) == b"named, and more"
    assert whole(again, pointer) == b"named"


def test_appending_goes_on_while_a_thread_writes_and_another_reads(tmp_path: Path) -> None:
    store = LogStore.open(tmp_path, file_bytes=50_000)
    ended = threading.Event()
    last: list[int] = []
    wrong: list[bytes] = []

    def write() -> None:
        while not ended.is_set():
            store.write(store.take())
        store.write(store.take())

    def read() -> None:
        while not ended.is_set():
            if last:
                data = whole(store, last[-1], 5000)
                if data != bytes(range(250)) * (len(data) // 250):
                    wrong.append(data)

    threads = [threading.Thread(target=write), threading.Thread(target=read)]
    for thread in threads:
        thread.start()
    pointer = None
    for turn in range(1000):
        pointer = store.append(pointer, OUT, turn * 250, bytes(range(250)))
        last.append(pointer)
    ended.set()
    for thread in threads:
        thread.join(30)
    assert not wrong
    assert pointer is not None
    assert len(whole(store, pointer)) == 250_000
    assert not store._unwritten


class TestFailures:
    @pytest.fixture
    def disk(self, monkeypatch: pytest.MonkeyPatch) -> set[str]:
        """The names of the system calls that fail now."""
        failing: set[str] = set()
        for name in ("pwrite", "fdatasync", "fsync", "open"):
            real = getattr(os, name)

            def call(*args: object, real: object = real, name: str = name) -> object:
                if name in failing:
                    raise OSError(28, "No space left on device")
                return real(*args)  # type: ignore[operator]

            monkeypatch.setattr(os, name, call)
        return failing

    @pytest.mark.parametrize("times", [1, 3])
    @pytest.mark.parametrize(
        ("call", "before"),
        # The folder is synced when a file is made, so only for the first.
        [("fsync", 0), *itertools.product(["pwrite", "fdatasync", "open"], [0, 2])],
    )
    def test_the_same_batch_is_written_to_a_new_file_and_its_pointers_hold(
        self, tmp_path: Path, disk: set[str], call: str, times: int, before: int
    ) -> None:
        store = LogStore.open(tmp_path)
        pointer, end = None, 0
        for _ in range(before):
            pointer = store.append(pointer, OUT, end, b"durable ")
            end += 8
            sync(store)
        if before:
            store.close()  # so that a file is opened again
        last = store.append(pointer, OUT, end, b"failed ")
        batch = store.take()
        disk.add(call)
        for _ in range(times):
            with pytest.raises(LogsFailed, match="No space left"):
                store.write(batch)
        disk.clear()
        assert whole(store, last) == b"durable " * before + b"failed "
        store.write(batch)
        more = store.append(last, OUT, end + 7, b"after")
        sync(store)
        text = b"durable " * before + b"failed after"
        assert whole(store, more) == text
        again = LogStore.open(tmp_path)
        again.hold([more])
        assert whole(again, more) == text
        further = again.append(more, OUT, len(text), b"!")
        sync(again)
        assert whole(again, further) == text + b"!"

    def test_a_file_whose_sync_failed_is_never_synced_again(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store = LogStore.open(tmp_path)
        pointer = store.append(None, OUT, 0, b"one")
        sync(store)
        store.append(pointer, OUT, 3, b"two")
        batch = store.take()
        synced: list[str] = []

        def fails(fd: int) -> None:
            synced.append(os.readlink(f"/proc/self/fd/{fd}"))
            if len(synced) == 1:
                raise OSError(5, "Input/output error")

        monkeypatch.setattr(os, "fdatasync", fails)
        with pytest.raises(LogsFailed):
            store.write(batch)
        store.write(batch)
        position = RECORD_BYTES + 3
        assert synced == [str(tmp_path / "00000001.log"), str(tmp_path / f"00000001-{position:08x}.log")]


class TestDamage:
    def damaged(self, tmp_path: Path, at: int) -> tuple[LogStore, int]:
        """Three records of ten bytes, one byte changed."""
        store = LogStore.open(tmp_path)
        pointer = None
        for turn in range(3):
            pointer = store.append(pointer, OUT, turn * 10, bytes([turn]) * 10)
        sync(store)
        with (tmp_path / "00000001.log").open("r+b") as file:
            file.seek(at)
            file.write(b"?")
        assert pointer is not None
        return store, pointer

    def test_damaged_data_is_named_and_the_rest_can_be_read(self, tmp_path: Path) -> None:
        store, pointer = self.damaged(tmp_path, (RECORD_BYTES + 10) + RECORD_BYTES + 3)
        assert store.read(pointer, 0, 100) == [(0, b"\0" * 10)]
        with pytest.raises(LogsDamaged, match=r"00000001\.log") as caught:
            store.read(pointer, 10, 100)
        assert caught.value.resume == 20
        assert store.read(pointer, 20, 100) == [(20, b"\2" * 10)]

    def test_a_damaged_head_hides_what_comes_before_it(self, tmp_path: Path) -> None:
        store, pointer = self.damaged(tmp_path, (RECORD_BYTES + 10) + 20)
        with pytest.raises(LogsDamaged) as caught:
            store.read(pointer, 0, 100)
        assert caught.value.resume == 20
        assert store.read(pointer, 20, 100) == [(20, b"\2" * 10)]

    def test_the_last_head_damaged(self, tmp_path: Path) -> None:
        store, pointer = self.damaged(tmp_path, 2 * (RECORD_BYTES + 10) + 20)
        with pytest.raises(LogsDamaged):
            store.read(pointer, 0, 100)

    def test_a_file_that_is_gone_is_said(self, tmp_path: Path) -> None:
        store, pointer = self.damaged(tmp_path, 0)
        (tmp_path / "00000001.log").unlink()
        with pytest.raises(LogsDamaged, match="gone"):
            store.read(pointer, 0, 100)


class TestRoom:
    def test_a_file_goes_when_nobody_needs_it(self, tmp_path: Path) -> None:
        store = LogStore.open(tmp_path, file_bytes=1000)
        pointers = [store.append(None, Stream(task, 1, 0), 0, b"x" * 400) for task in range(1, 7)]
        sync(store)
        assert log_files(tmp_path) == ["00000001.log", "00000002.log", "00000003.log"]
        store.release(pointers[2])
        store.reclaim()
        assert len(log_files(tmp_path)) == 3
        store.release(pointers[3])
        store.reclaim()
        assert log_files(tmp_path) == ["00000001.log", "00000003.log"]
        assert store.read(pointers[0], 0, 1) == [(0, b"x")]

    def test_the_present_file_goes_when_it_is_left(self, tmp_path: Path) -> None:
        store = LogStore.open(tmp_path, file_bytes=1000)
        store.release(store.append(None, OUT, 0, b"x" * 400))
        sync(store)
        store.reclaim()
        assert log_files(tmp_path) == ["00000001.log"]
        store.append(None, OUT, 0, b"y" * 900)
        sync(store)
        store.reclaim()
        assert log_files(tmp_path) == ["00000002.log"]

    def test_a_stream_holds_the_files_it_reaches_over(self, tmp_path: Path) -> None:
        store = LogStore.open(tmp_path, file_bytes=1000)
        first = store.append(None, OUT, 0, b"x" * 500)
        others = [store.append(None, Stream(task, 1, 0), 0, b"x" * 900) for task in range(2, 5)]
        last = store.append(first, OUT, 500, b"y" * 500)
        sync(store)
        assert files_of(last) == range(1, 6)
        for pointer in others:
            store.release(pointer)
        store.reclaim()
        assert whole(store, last) == b"x" * 500 + b"y" * 500
        fills = store.append(None, Stream(5, 1, 0), 0, b"z" * 300)
        store.append(None, Stream(6, 1, 0), 0, b"z" * 300)
        sync(store)
        store.release(fills)
        store.reclaim()
        assert whole(store, last) == b"x" * 500 + b"y" * 500
        store.release(last)
        store.reclaim()
        assert log_files(tmp_path) == ["00000006.log"]

    def test_counts_are_made_again_from_the_pointers_alone(self, tmp_path: Path) -> None:
        store = LogStore.open(tmp_path, file_bytes=1000)
        pointers = [store.append(None, Stream(task, 1, 0), 0, b"x" * 400) for task in range(1, 7)]
        sync(store)
        again = LogStore.open(tmp_path, file_bytes=1000)
        again.hold(pointers[:1] + pointers[4:])
        again.reclaim()
        assert log_files(tmp_path) == ["00000001.log", "00000003.log"]
        again.release(pointers[0])
        again.reclaim()
        assert log_files(tmp_path) == ["00000003.log"]

    def test_nothing_is_appended_or_released_before_streams_are_counted(self, tmp_path: Path) -> None:
        store = LogStore.open(tmp_path)
        pointer = store.append(None, OUT, 0, b"x")
        sync(store)
        again = LogStore.open(tmp_path)
        with pytest.raises(AssertionError):
            again.release(pointer)
        with pytest.raises(AssertionError):
            again.append(pointer, OUT, 1, b"y")

    def test_a_large_stream_leaves_a_hole_beside_those_that_stay(self, tmp_path: Path) -> None:
        store = LogStore.open(tmp_path)
        before = store.append(None, Stream(2, 1, 0), 0, b"before")
        large = store.append(None, OUT, 0, os.urandom(4 << 20))
        after = store.append(None, Stream(3, 1, 0), 0, b"after")
        sync(store)
        path = tmp_path / "00000001.log"
        full = path.stat().st_blocks
        store.release(large)
        store.reclaim()
        if path.stat().st_blocks == full:
            pytest.skip("this filesystem punches no holes")
        assert path.stat().st_blocks * 512 < 100_000
        assert whole(store, before) == b"before"
        assert whole(store, after) == b"after"
        assert place_of(after)[1] > 4 << 20

    def test_the_pieces_of_a_failed_file_go_with_it(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        store = LogStore.open(tmp_path, file_bytes=1000)
        first = store.append(None, OUT, 0, b"x" * 400)
        sync(store)
        second = store.append(None, ERR, 0, b"y" * 400)
        batch = store.take()
        with monkeypatch.context() as patch:
            patch.setattr(os, "fdatasync", lambda _: (_ for _ in ()).throw(OSError(5, "Input/output error")))
            with pytest.raises(LogsFailed):
                store.write(batch)
        store.write(batch)
        store.append(None, Stream(2, 1, 0), 0, b"z" * 400)
        sync(store)
        assert len(log_files(tmp_path)) == 3
        store.release(first)
        store.release(second)
        store.reclaim()
        assert log_files(tmp_path) == ["00000002.log"]
