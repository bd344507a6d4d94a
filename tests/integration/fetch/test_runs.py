"""run+fastq://: every run of an accession, by whichever way leads to it, whole, verified, under ENA's names."""

import gzip
import os
import random
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from scitq.fetch import FetchError, get, sync
from scitq.fetch.backends import run as runs
from scitq.fetch.backends.run import Backend
from scitq.fetch.settings import settings
from scitq.fetch.storage import Entry, NotThere, Stopped, Watch
from scitq.fetch.uri import parse
from tests.servers import ascp, sra_objects
from tests.servers.dockerd import Dockerd
from tests.servers.ena import BROKEN, NO_CONTENT, NOT_VALID, SILENT, TOO_MANY, Ena, Fault, ena
from tests.servers.nginx import nginx
from tests.servers.pyftpd import pyftpd
from tests.servers.sra_objects import Reads, bases

PAIR = {f"ERR000001_{mate}.fastq.gz": gzip.compress(b"@r\nACGT\n+\nIIII\n" * 1000 * mate) for mate in (1, 2)}
OBJECTS = pytest.mark.skipif(not sra_objects.INSTALLED, reason="sra-toolkit is not installed")


class Impatient(Watch):
    """Pauses are only written down."""

    def __init__(self) -> None:
        super().__init__()
        self.pauses: list[float] = []

    def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.check()


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ena]:
    """A stand-in of ENA and SRA that scitq asks; no pause is waited for, no program found but what is put there."""
    there = tmp_path / "there"
    there.mkdir()
    monkeypatch.setenv("SCITQ_FETCH_CONFIG", os.devnull)
    monkeypatch.setenv("HOME", str(tmp_path))
    programs = tmp_path / "bin"
    programs.mkdir()
    monkeypatch.setenv("PATH", str(programs))
    monkeypatch.setattr(Watch, "pause", lambda self, seconds: self.check())
    with ena(there) as one:
        for name, value in one.environment.items():
            monkeypatch.setenv(name, value)
        settings.cache_clear()
        yield one
    settings.cache_clear()


@pytest.fixture
def tools(archive: Ena, tmp_path: Path) -> Path:
    """The folder of programs, with those of sra-toolkit in it."""
    programs = tmp_path / "bin"
    for name in sra_objects.TOOLS:
        found = shutil.which(name, path=os.defpath + ":/usr/bin:/usr/local/bin")
        assert found
        (programs / name).symlink_to(found)
    return programs


def fetched(folder: Path) -> dict[str, bytes]:
    """All that is there, hidden files included."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def listed(address: str) -> list[Entry]:
    uri = parse(address)
    return list(Backend(uri).walk(uri.path))


def sequences(packed: bytes) -> list[str]:
    return gzip.decompress(packed).decode().splitlines()[1::4]


def test_a_run_comes_with_its_files_and_nothing_else(archive: Ena, tmp_path: Path) -> None:
    archive.add("ERR000001", PAIR)

    got = get("run+fastq://ERR000001", tmp_path / "here")

    assert fetched(tmp_path / "here") == PAIR
    assert got.names == tuple(PAIR)
    assert got.bytes == sum(map(len, PAIR.values()))


def test_all_runs_of_a_sample_come(archive: Ena, tmp_path: Path) -> None:
    single = {"ERR000003.fastq.gz": gzip.compress(b"@r\nA\n+\nI\n")}
    three = {f"ERR000002{mate}.fastq.gz": gzip.compress(f"@r{mate}\nA\n+\nI\n".encode()) for mate in ("", "_1", "_2")}
    archive.add("ERR000003", single, "SAMEA1")
    archive.add("ERR000001", PAIR, "SAMEA1")
    archive.add("ERR000002", three, "SAMEA1")

    assert [entry.name for entry in listed("run+fastq://SAMEA1")] == sorted(PAIR | single | three)
    get("run+fastq://SAMEA1/", tmp_path / "here")

    assert fetched(tmp_path / "here") == PAIR | single | three


def test_actions_work_on_what_came(archive: Ena, tmp_path: Path) -> None:
    archive.add("ERR000001", PAIR)

    get("run+fastq://ERR000001|gunzip|mv:reads", tmp_path / "here")

    assert sorted(fetched(tmp_path / "here")) == ["reads/ERR000001_1.fastq", "reads/ERR000001_2.fastq"]


def test_a_listing_tells_size_digest_and_version(archive: Ena) -> None:
    row = archive.add("ERR000001", PAIR)

    first, second = listed("run+fastq://ERR000001")

    assert (f"{first.size};{second.size}", f"{first.md5};{second.md5}") == (row["fastq_bytes"], row["fastq_md5"])
    assert first.version != second.version


@pytest.mark.parametrize(
    "fault", [TOO_MANY, BROKEN, NO_CONTENT, Fault(200, "[]"), Fault(200, "Please try later"), Fault(505)]
)
def test_ena_is_asked_again_when_it_has_a_bad_moment(archive: Ena, fault: Fault) -> None:
    archive.faults["ERR000001"] = [fault, fault, Fault(200, '[{"run_accession":"ERR000001"}]')]

    assert [entry.name for entry in listed("run+fastq://ERR000001")] == ["ERR000001.fastq.gz"]
    assert archive.asked == ["ERR000001"] * 3


def test_what_ena_refuses_is_told_in_its_words(archive: Ena) -> None:
    archive.faults["SAMEA1"] = [NOT_VALID]

    with pytest.raises(FetchError, match=r"^ENA says Accession\(s\) ERR164407 not valid") as caught:
        listed("run+fastq://SAMEA1")

    assert not caught.value.retry
    assert len(archive.asked) == 1


def test_a_sample_that_ena_does_not_know_is_not_there(archive: Ena, tmp_path: Path) -> None:
    with pytest.raises(NotThere, match=r"^run\+fastq://SAMEA1: ENA knows nothing of it$"):
        get("run+fastq://SAMEA1", tmp_path / "here")


def test_a_run_that_neither_archive_knows_is_not_there(archive: Ena, tmp_path: Path) -> None:
    with pytest.raises(NotThere, match=r"ENA knows nothing of it, and SRA has no such public run$"):
        get("run+fastq://ERR000009", tmp_path / "here")


def test_an_ena_that_says_nothing_ends_with_the_stall(archive: Ena, monkeypatch: pytest.MonkeyPatch) -> None:
    archive.faults["SAMEA1"] = [SILENT]
    monkeypatch.setattr("scitq.fetch.backends.ena.settings", lambda: settings()._replace(stall_s=0.2, tries=3))

    with pytest.raises(FetchError, match="ENA stalled") as caught:
        listed("run+fastq://SAMEA1")

    assert caught.value.retry
    assert len(archive.asked) == 3


def test_a_file_that_is_not_as_ena_tells_never_gets_its_name(archive: Ena, tmp_path: Path) -> None:
    archive.add("ERR000001", PAIR, fastq_md5=f"{'0' * 32};{'1' * 32}")

    with pytest.raises(FetchError) as caught:
        get("run+fastq://ERR000001", tmp_path / "here")

    assert f"{archive.files}: its MD5 is " in caught.value.reason
    assert "SRA: not installed here: vdb-validate" in caught.value.reason
    assert "ENA by Aspera: not installed here: ascp" in caught.value.reason
    assert "\n" not in caught.value.reason
    assert not [name for name in fetched(tmp_path / "here") if not name.startswith(".fetch-")]


def test_without_a_digest_the_size_is_held_against_a_file(archive: Ena, tmp_path: Path) -> None:
    archive.add("ERR000001", PAIR, fastq_md5="")
    get("run+fastq://ERR000001", tmp_path / "here")
    archive.add("ERR000002", {"ERR000002.fastq.gz": b"x"}, fastq_md5="", fastq_bytes="2")

    with pytest.raises(FetchError):
        get("run+fastq://ERR000002", tmp_path / "here")

    assert fetched(tmp_path / "here") == PAIR


@pytest.mark.parametrize("address", ["run+fastq://ERR000001", "run+fastq@ftp://ERR000001"])
def test_ftp_is_the_second_way_or_the_only_one(
    archive: Ena, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    archive.add("ERR000001", PAIR)
    archive.missing.add("vol1")
    with pyftpd(archive.folder) as server:
        monkeypatch.setenv("SCITQ_ENA_FILES", f"{archive.files} ftp://{server}/")
        settings.cache_clear()

        get(address, tmp_path / "here")

    assert fetched(tmp_path / "here") == PAIR
    assert bool(archive.taken) == (address == "run+fastq://ERR000001")


def test_what_was_stopped_goes_on_from_what_had_come(
    archive: Ena, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = random.Random(1).randbytes(8 << 20)
    archive.add("ERR000001", {"ERR000001.fastq.gz": content})
    uri = parse("run+fastq://ERR000001")
    target = tmp_path / "here" / "ERR000001.fastq.gz"

    class Short(Watch):
        def moved(self, count: int) -> None:
            super().moved(count)
            if self.bytes > len(content) // 2:
                raise Stopped("stopped", retry=False)

    with nginx(archive.folder, tmp_path / "nginx") as server:
        monkeypatch.setenv("SCITQ_ENA_FILES", f"http://{server}/")
        settings.cache_clear()
        here = Backend(uri)
        (entry,) = here.walk(uri.path)
        with pytest.raises(Stopped):
            here.download(f"{uri.path}/{entry.name}", entry, str(target), Short())
        assert not target.exists()
        watch = Watch()
        Backend(uri).download(f"{uri.path}/{entry.name}", entry, str(target), watch)

    assert fetched(target.parent) == {entry.name: content}
    assert watch.bytes < len(content)


def test_a_mirror_stands_before_ena_itself(archive: Ena, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive.add("ERR000001", PAIR)
    archive.missing.add("/mirror/")
    monkeypatch.setenv("SCITQ_ENA_FILES", f"{archive.files}mirror/ {archive.files}")
    settings.cache_clear()

    get("run+fastq://ERR000001", tmp_path / "here")

    assert fetched(tmp_path / "here") == PAIR
    assert len([path for path in archive.taken if path.startswith("/mirror/vol1")]) == 2


def test_aspera_is_the_last_way(archive: Ena, tmp_path: Path) -> None:
    archive.add("ERR000001", PAIR)
    archive.missing.add("vol1")
    log = ascp.install(tmp_path / "bin", archive.folder)

    get("run+fastq://ERR000001", tmp_path / "here")

    assert fetched(tmp_path / "here") == PAIR
    assert "--user=era-fasp" in log.read_text().split("\t")
    assert [path for path in archive.taken if "/sra/" in path] == []  # no tools for it: nothing comes


def test_a_forced_way_is_the_only_one(archive: Ena, tmp_path: Path) -> None:
    archive.add("ERR000001", PAIR)
    ascp.install(tmp_path / "bin", archive.folder)

    get("run+fastq@aspera://ERR000001", tmp_path / "here")

    assert fetched(tmp_path / "here") == PAIR
    assert archive.taken == []


def test_a_way_that_is_closed_for_ever_is_not_tried_again(archive: Ena, tmp_path: Path) -> None:
    archive.add("ERR000001", PAIR)
    archive.missing.add("vol1")
    uri = parse("run+fastq://ERR000001")
    here = Backend(uri)
    (entry, _) = here.walk(uri.path)
    watch = Impatient()

    with pytest.raises(FetchError) as caught:
        here.download(f"{uri.path}/{entry.name}", entry, str(tmp_path / "x"), watch)

    assert watch.pauses == []
    assert not caught.value.retry


def test_the_ways_are_tried_again_in_ten_rounds(
    archive: Ena, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive.add("ERR000001", PAIR)
    archive.missing.add("vol1")
    ascp.install(tmp_path / "bin", archive.folder)
    monkeypatch.setenv("ASCP_SAYS", "ascp: Failed to open TCP connection for SSH, exiting.")
    uri = parse("run+fastq://ERR000001")
    here = Backend(uri)
    (entry, _) = here.walk(uri.path)
    watch = Impatient()

    with pytest.raises(FetchError, match="Failed to open TCP") as caught:
        here.download(f"{uri.path}/{entry.name}", entry, str(tmp_path / "x"), watch)

    assert len(watch.pauses) == runs.ROUNDS - 1
    assert watch.pauses[:3] == sorted(watch.pauses[:3])
    assert not caught.value.retry  # whoever called does not begin ten more
    assert len([path for path in archive.taken if "_1" in path]) == 1


def test_it_stops_when_told(archive: Ena, tmp_path: Path) -> None:
    archive.add("ERR000001", PAIR)
    stop = threading.Event()
    stop.set()

    with pytest.raises(Stopped):
        get("run+fastq://ERR000001", tmp_path / "here", stop=stop)


def test_a_stream_is_verified_before_its_first_byte(archive: Ena) -> None:
    archive.add("ERR000001", PAIR)
    name, content = next(iter(PAIR.items()))
    uri = parse("run+fastq://ERR000001")

    with Backend(uri).open(f"{uri.path}/{name}") as stream:
        assert stream.read() == content


@OBJECTS
def test_the_whole_run_comes_from_sra_when_one_file_is_not_to_be_had(
    archive: Ena, tools: Path, tmp_path: Path
) -> None:
    """Mates of two sources may not be in the same order."""
    archive.add("ERR000001", PAIR)
    archive.add_object("ERR000001", sra_objects.make("ERR000001", Reads(pairs=50, singles=7), tmp_path))
    archive.missing.add("ERR000001_2")

    got = get("run+fastq://ERR000001", tmp_path / "here")

    files = fetched(tmp_path / "here")
    assert got.names == tuple(sorted(files))
    assert {name: sequences(content) for name, content in files.items()} == {
        "ERR000001.fastq.gz": [bases(spot, 1) for spot in range(50, 57)],
        "ERR000001_1.fastq.gz": [bases(spot, 1) for spot in range(50)],
        "ERR000001_2.fastq.gz": [bases(spot, 2) for spot in range(50)],
    }


@OBJECTS
def test_a_mate_that_comes_later_is_not_taken_from_elsewhere(archive: Ena, tools: Path, tmp_path: Path) -> None:
    archive.add("ERR000001", PAIR)
    archive.add_object("ERR000001", sra_objects.make("ERR000001", Reads(pairs=3), tmp_path))
    archive.missing.add("ERR000001_2")
    uri = parse("run+fastq://ERR000001")
    here = Backend(uri)
    first, second = here.walk(uri.path)

    for entry in (second, first):
        here.download(f"{uri.path}/{entry.name}", entry, str(tmp_path / "here" / entry.name), Watch())

    files = fetched(tmp_path / "here")
    assert sequences(files[first.name]) == [bases(spot, 1) for spot in range(3)]


@OBJECTS
@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        ("sed -i 1,4d out/*_1.fastq", "5 reads of 6 that fasterq-dump wrote"),
        ("sed -i 's/read      : 3/read      : 2/' said", "fasterq-dump read 2 spots of 3"),
        (": > said", "does not tell how many spots and reads"),
    ],
)
def test_what_is_lost_on_the_way_out_of_an_object_is_noticed(
    archive: Ena, tools: Path, tmp_path: Path, edit: str, reason: str
) -> None:
    archive.add_object("ERR000001", sra_objects.make("ERR000001", Reads(pairs=3), tmp_path))
    (tools / "real").mkdir()
    (tools / "fasterq-dump").rename(tools / "real" / "fasterq-dump")
    script = f'#!/bin/sh\n{tools}/real/fasterq-dump "$@" >said 2>&1\nPATH=/usr/bin:/bin\n{edit}\ncat said\n'
    (tools / "fasterq-dump").write_text(script)
    (tools / "fasterq-dump").chmod(0o755)

    with pytest.raises(FetchError, match=reason):
        get("run+fastq@sra://ERR000001", tmp_path / "here")


@OBJECTS
@pytest.mark.parametrize(
    ("reads", "names"),
    [
        (Reads(pairs=9), ["ERR000001_1.fastq.gz", "ERR000001_2.fastq.gz"]),
        (Reads(singles=9), ["ERR000001.fastq.gz"]),
        (Reads(pairs=9, singles=1), ["ERR000001.fastq.gz", "ERR000001_1.fastq.gz", "ERR000001_2.fastq.gz"]),
    ],
)
@pytest.mark.parametrize("fault", [NO_CONTENT, BROKEN, Fault(200, "[]")])
def test_a_run_that_ena_does_not_have_comes_from_sra(
    archive: Ena, tools: Path, tmp_path: Path, reads: Reads, names: list[str], fault: Fault
) -> None:
    archive.add_object("ERR000001", sra_objects.make("ERR000001", reads, tmp_path))
    archive.faults["ERR000001"] = [fault]

    get("run+fastq://ERR000001", tmp_path / "here")

    assert sorted(fetched(tmp_path / "here")) == names


@OBJECTS
def test_sra_can_be_forced_and_gives_the_names_of_ena(archive: Ena, tools: Path, tmp_path: Path) -> None:
    archive.add("ERR000001", PAIR, "ERS000001")
    archive.add("ERR000002", {"ERR000002.fastq.gz": b"x"}, "ERS000001")
    archive.add_object("ERR000001", sra_objects.make("ERR000001", Reads(pairs=3), tmp_path))
    archive.add_object("ERR000002", sra_objects.make("ERR000002", Reads(singles=3), tmp_path))

    get("run+fastq@sra://ERS000001", tmp_path / "here")

    files = fetched(tmp_path / "here")
    assert sorted(files) == [*PAIR, "ERR000002.fastq.gz"]
    assert sequences(files["ERR000002.fastq.gz"]) == [bases(spot, 1) for spot in range(3)]


@OBJECTS
def test_a_sync_deletes_nothing_where_it_can_only_guess_names(archive: Ena, tools: Path, tmp_path: Path) -> None:
    archive.add_object("ERR000001", sra_objects.make("ERR000001", Reads(pairs=3), tmp_path))
    sync("run+fastq://ERR000001", tmp_path / "here")
    came = fetched(tmp_path / "here")

    with pytest.raises(FetchError, match=r"^run\+fastq://ERR000001: what .* --delete cannot tell what is extra$"):
        sync("run+fastq://ERR000001", tmp_path / "here", delete=True)

    assert len(came) == 2
    assert fetched(tmp_path / "here") == came


@OBJECTS
def test_prefetch_is_asked_where_there_is_no_public_object(archive: Ena, tools: Path, tmp_path: Path) -> None:
    content = sra_objects.make("ERR000001", Reads(pairs=3), tmp_path)
    (tmp_path / "object").write_bytes(content)
    (tools / "prefetch").unlink()
    script = (
        f'#!/bin/sh\nPATH=/usr/bin:/bin\n[ "$5" = ERR000001 ] && mkdir "$5" && cp {tmp_path}/object "$5/$5.sra"\n'
    )
    (tools / "prefetch").write_text(script)
    (tools / "prefetch").chmod(0o755)

    get("run+fastq@sra://ERR000001", tmp_path / "here")

    assert sorted(fetched(tmp_path / "here")) == list(PAIR)


@OBJECTS
@pytest.mark.parametrize(
    ("said", "kind", "rounds"),
    [
        ("err: failed to resolve accession 'ERR000001' - no data ( 404 )", NotThere, 1),
        ("err: failed to resolve accession 'ERR000001' - Access denied ( 403 )", FetchError, 1),
        (": Current preference is set to retrieve SRA Normalized Format files", FetchError, runs.ROUNDS),
    ],
)
def test_what_prefetch_answers_may_be_final(
    archive: Ena, tools: Path, tmp_path: Path, said: str, kind: type[FetchError], rounds: int
) -> None:
    (tools / "prefetch").unlink()
    (tools / "prefetch").write_text(f'#!/bin/sh\necho "2026-11-23T01:27:53 prefetch.3.0.3 {said}"\nexit 3\n')
    (tools / "prefetch").chmod(0o755)

    with pytest.raises(FetchError, match=r"SRA: public object: is not there .*, prefetch: ") as caught:
        get("run+fastq@sra://ERR000001", tmp_path / "here")

    assert type(caught.value) is kind
    assert archive.taken.count("/sra/ERR000001/ERR000001") == 1 + rounds


@OBJECTS
def test_an_object_that_is_cut_is_not_believed(archive: Ena, tools: Path, tmp_path: Path) -> None:
    content = sra_objects.make("ERR000001", Reads(pairs=3000), tmp_path)
    archive.add_object("ERR000001", content[: len(content) // 2])
    uri = parse("run+fastq@sra://ERR000001")
    here = Backend(uri)
    (entry, *_) = here.walk(uri.path)
    watch = Impatient()

    with pytest.raises(FetchError, match="SRA: vdb-validate: ") as caught:
        here.download(f"{uri.path}/{entry.name}", entry, str(tmp_path / "here" / entry.name), watch)

    assert "\n" not in caught.value.reason
    assert len(watch.pauses) == runs.ROUNDS - 1  # it may be whole next time
    assert [name for name in fetched(tmp_path / "here") if name.endswith(".gz")] == []


@OBJECTS
def test_sra_names_other_files_than_ena_only_when_it_was_asked_for(archive: Ena, tools: Path, tmp_path: Path) -> None:
    archive.add("ERR000001", {"ERR000001.fastq.gz": b"x"})
    archive.add_object("ERR000001", sra_objects.make("ERR000001", Reads(pairs=3), tmp_path))
    archive.missing.add("vol1")

    with pytest.raises(
        FetchError, match=r"SRA: has it as ERR000001_1.fastq.gz ERR000001_2.fastq.gz, which run\+fastq@sra"
    ):
        get("run+fastq://ERR000001", tmp_path / "here")
    get("run+fastq@sra://ERR000001", tmp_path / "there too")

    assert sorted(fetched(tmp_path / "there too")) == list(PAIR)


@OBJECTS
def test_what_a_way_that_led_nowhere_began_is_not_delivered(archive: Ena, tools: Path, tmp_path: Path) -> None:
    archive.add("ERR000001", PAIR)
    archive.add_object("ERR000001", sra_objects.make("ERR000001", Reads(pairs=3), tmp_path))
    archive.cut.add("ERR000001_2")

    get("run+fastq://ERR000001", tmp_path / "here")

    assert sorted(fetched(tmp_path / "here")) == list(PAIR)


@OBJECTS
def test_what_sra_began_is_gone_once_ena_has_delivered(archive: Ena, tools: Path, tmp_path: Path) -> None:
    archive.add("ERR000001", PAIR)
    archive.missing.add("vol1")
    archive.add_object("ERR000001", b"no object")  # an error page, say
    uri = parse("run+fastq://ERR000001")
    entries = list(Backend(uri).walk(uri.path))
    target = tmp_path / "here"

    def download() -> None:
        here = Backend(uri)
        for entry in entries:
            here.download(f"{uri.path}/{entry.name}", entry, str(target / entry.name), Watch())

    with pytest.raises(FetchError, match="SRA: vdb-validate: what came is no object of SRA"):
        download()
    archive.missing.clear()
    download()

    assert {path.name for path in target.iterdir()} == set(PAIR)


@OBJECTS
def test_an_object_that_is_here_is_not_fetched_again(archive: Ena, tools: Path, tmp_path: Path) -> None:
    """As after a kill: what came last is kept in the room, and the rest is done anew."""
    archive.add_object("ERR000001", sra_objects.make("ERR000001", Reads(pairs=3), tmp_path))
    uri = parse("run+fastq@sra://ERR000001")
    target = tmp_path / "here" / "ERR000001.fastq.gz"
    real = (tools / "fasterq-dump").readlink()
    (tools / "fasterq-dump").unlink()
    (tools / "fasterq-dump").write_text("#!/bin/sh\n/bin/mkdir out && : > out/junk.fastq && kill -9 $$\n")
    (tools / "fasterq-dump").chmod(0o755)

    here = Backend(uri)
    (entry,) = here.walk(uri.path)
    with pytest.raises(FetchError, match="fasterq-dump: exit code -9"):
        here.download(f"{uri.path}/{entry.name}", entry, str(target), Watch())
    (tools / "fasterq-dump").unlink()
    (tools / "fasterq-dump").symlink_to(real)
    Backend(uri).download(f"{uri.path}/{entry.name}", entry, str(target), Watch())

    assert sorted(fetched(target.parent)) == list(PAIR)
    assert len([path for path in archive.taken if path.startswith("/sra/")]) == 4  # two looks, a stat, the object


def test_a_run_of_unknown_size_has_a_day(archive: Ena, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive.add_object("ERR000001", b"x")
    limits: list[float | None] = []
    monkeypatch.setattr(Watch, "limit", lambda self, seconds: limits.append(seconds))

    with pytest.raises(FetchError):
        get("run+fastq@sra://ERR000001", tmp_path / "here")

    assert limits[-1] == 86_400


def test_one_file_of_an_accession_can_be_asked_for(archive: Ena, tmp_path: Path) -> None:
    archive.add("ERR000001", PAIR, "SAMEA1")

    get("run+fastq://SAMEA1/ERR000001_2.fastq.gz", tmp_path / "here")
    get("run+fastq://SAMEA1/ERR000001_1.fastq.gz|gunzip", tmp_path / "here")
    with pytest.raises(NotThere, match="SAMEA1 has no such file"):
        get("run+fastq://SAMEA1/ERR000001_3.fastq.gz", tmp_path / "here")

    assert sorted(fetched(tmp_path / "here")) == ["ERR000001_1.fastq", "ERR000001_2.fastq.gz"]


@OBJECTS
def test_one_file_comes_alone_from_sra_too(archive: Ena, tools: Path, tmp_path: Path) -> None:
    archive.add("ERR000001", PAIR)
    archive.add_object("ERR000001", sra_objects.make("ERR000001", Reads(pairs=3), tmp_path))

    get("run+fastq@sra://ERR000001/ERR000001_2.fastq.gz", tmp_path / "here")

    assert sorted(fetched(tmp_path / "here")) == ["ERR000001_2.fastq.gz"]


@OBJECTS
def test_mates_asked_for_at_once_are_turned_into_files_once(archive: Ena, tools: Path, tmp_path: Path) -> None:
    archive.add("ERR000001", PAIR)
    archive.add_object("ERR000001", sra_objects.make("ERR000001", Reads(pairs=3), tmp_path))
    uri = parse("run+fastq@sra://ERR000001")
    here = Backend(uri)
    target = tmp_path / "here"
    threads = [
        threading.Thread(target=here.download, args=(f"{uri.path}/{one.name}", one, str(target / one.name), Watch()))
        for one in here.walk(uri.path)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(fetched(target)) == list(PAIR)
    assert len([path for path in archive.taken if path.startswith("/sra/")]) <= 2  # a look, and the object


@OBJECTS
def test_the_container_does_what_is_not_installed(
    docker: Dockerd, archive: Ena, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = os.environ["PATH"]
    monkeypatch.setenv("PATH", f"{programs}:/usr/local/bin:/usr/bin:/bin")
    (tmp_path / "bin" / "docker").symlink_to(str(shutil.which("docker")))
    docker.docker("import", "-", "ncbi/sra-tools", content=sra_objects.image())
    archive.add_object("ERR000001", sra_objects.make("ERR000001", Reads(pairs=3, singles=1), tmp_path))
    monkeypatch.setenv("PATH", programs)
    monkeypatch.setenv("DOCKER_HOST", docker.host)
    target = tmp_path / "a, b: c"

    get("run+fastq@sra://ERR000001", target)

    monkeypatch.setenv("PATH", f"{programs}:/usr/local/bin:/usr/bin:/bin")
    files = fetched(target)
    assert sorted(files) == ["ERR000001.fastq.gz", *PAIR]
    assert sequences(files["ERR000001_2.fastq.gz"]) == [bases(spot, 2) for spot in range(3)]
    assert docker.containers() == []
