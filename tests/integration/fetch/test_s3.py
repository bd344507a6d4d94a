"""What is S3's own: beside the table of behaviours."""

import hashlib
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config

from scitq.fetch.backends.objects import Objects
from scitq.fetch.backends.s3 import Backend
from scitq.fetch.settings import settings
from scitq.fetch.storage import Entry, FetchError, NotThere, Refused, Watch
from scitq.fetch.uri import parse
from tests.servers.certificate import certificate
from tests.servers.moto import moto_s3
from tests.servers.ports import free_port
from tests.servers.rclone import KEYS, rclone_s3
from tests.servers.tls import behind_tls
from tests.servers.told_s3 import Asked, Told, error, told_s3
from tests.sources import ROOT

MIB = 1 << 20
MANY = sorted(f"{number % 7}/{number:05}" for number in range(1205))
Connect = Callable[[str], Objects]


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Connect]:
    """Makes the backend of an endpoint."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for name, value in (("ACCESS_KEY_ID", KEYS[0]), ("SECRET_ACCESS_KEY", KEYS[1]), ("REGION", "us-east-1")):
        monkeypatch.setenv(f"AWS_{name}", value)

    def backend(endpoint: str) -> Objects:
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        settings.cache_clear()
        return Backend(parse("s3://x"))

    yield backend
    settings.cache_clear()


@pytest.fixture(scope="module")
def rclone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    root = tmp_path_factory.mktemp("rclone")
    for name in (*(f"many/{name}" for name in MANY), "many2/neighbour"):
        path = root / "bucket" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    with rclone_s3(root) as endpoint:
        yield endpoint


@pytest.fixture(scope="module")
def moto() -> Iterator[str]:
    with moto_s3() as endpoint:
        client(endpoint).create_bucket(Bucket="bucket")
        yield endpoint


def client(endpoint: str) -> Any:
    """Amazon's own library, as a witness."""
    calm = Config(request_checksum_calculation="when_required", response_checksum_validation="when_required")
    return boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id=KEYS[0],
        aws_secret_access_key=KEYS[1],
        config=calm,
    )


def file(path: Path, size: int) -> Path:
    path.write_bytes(os.urandom(size))
    return path


@pytest.mark.parametrize("server", ["rclone", "moto"])
@pytest.mark.parametrize("size", [0, 1, 4 * MIB, 4 * MIB + 1, 65 * MIB])
def test_whatever_the_size_it_goes_there_and_back(
    server: str, size: int, connect: Connect, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    endpoint = request.getfixturevalue(server)
    s3, watch, key = connect(endpoint), Watch(), f"bucket/sizes/ü {size}"
    source = file(tmp_path / "source", size)

    assert s3.upload(str(source), key, watch) == size
    assert watch.bytes == size

    entry = s3.stat(key)
    assert (entry.name, entry.size) == (f"ü {size}", size)
    assert s3.download(key, entry, str(tmp_path / "back"), Watch()) == size
    assert (tmp_path / "back").read_bytes() == source.read_bytes()
    assert (tmp_path / "back").stat().st_mtime == entry.modified
    with s3.open(key) as stream:
        assert stream.read() == source.read_bytes()
    whole = client(endpoint).get_object(Bucket="bucket", Key=f"sizes/ü {size}")["Body"].read()
    assert whole == source.read_bytes()
    with source.open("rb") as stream:
        assert s3.write(stream, -1, key, Watch()) == size
    assert s3.stat(key).size == size


def test_an_object_in_parts_has_no_md5_and_a_whole_one_has(connect: Connect, moto: str, tmp_path: Path) -> None:
    s3 = connect(moto)
    s3.upload(str(file(tmp_path / "large", 65 * MIB)), "bucket/large", Watch())
    s3.upload(str(file(tmp_path / "small", 10)), "bucket/small", Watch())

    assert s3.stat("bucket/large").md5 == ""
    assert s3.stat("bucket/large").version.endswith('-5"')
    assert s3.stat("bucket/small").md5 == hashlib.md5((tmp_path / "small").read_bytes()).hexdigest()


def test_all_pages_of_a_listing_in_order_and_deleted(connect: Connect, rclone: str) -> None:
    s3 = connect(rclone)

    assert [entry.name for entry in s3.walk("bucket/many")] == MANY
    assert [entry.name for entry in s3.children("bucket/many/")] == [f"{first}/" for first in range(7)]
    doomed = [f"bucket/many/{name}" for name in (*MANY, "not there")]
    assert list(s3.delete(iter(doomed), Watch())) == [(path, "") for path in doomed]
    assert [entry.name for entry in s3.walk("bucket/many2")] == ["neighbour"]


def test_marks_of_folders_are_no_files_and_odd_names_have_trouble(connect: Connect, moto: str) -> None:
    s3, witness = connect(moto), client(moto)
    for key in ("odd/", "odd/sub/", "odd/sub/x", "odd//y", "odd/a/../b", "odd/empty/"):
        witness.put_object(Bucket="bucket", Key=key, Body=b"")
    witness.put_object(Bucket="bucket", Key="odd/full/", Body=b"1")

    trouble = "has a name that is no path inside this folder"
    assert [(entry.name, entry.trouble) for entry in s3.walk("bucket/odd")] == [
        ("/y", trouble),
        ("a/../b", trouble),
        ("full/", trouble),
        ("sub/x", ""),
    ]
    assert list(s3.walk("bucket/odd/empty")) == []


def test_names_that_xml_cannot_carry_are_deleted_too(connect: Connect, moto: str, tmp_path: Path) -> None:
    s3, source = connect(moto), file(tmp_path / "x", 3)
    for name in ("a&<>b", "a\x01b"):
        s3.upload(str(source), f"bucket/xml/{name}", Watch())
    assert sorted(entry.name for entry in s3.walk("bucket/xml")) == ["a\x01b", "a&<>b"]
    assert [why for _, why in s3.delete((f"bucket/xml/{name}" for name in ("a&<>b", "a\x01b")), Watch())] == ["", ""]
    with pytest.raises(NotThere):
        list(s3.walk("bucket/xml"))


def test_a_copy_inside_the_storage(connect: Connect, rclone: str, tmp_path: Path) -> None:
    s3 = connect(rclone)
    s3.upload(str(file(tmp_path / "x", 1000)), "bucket/from here", Watch())
    watch = Watch()
    assert s3.copy("bucket/from here", "bucket/to/é", watch)
    assert watch.bytes == 0
    assert s3.stat("bucket/to/é").md5 == s3.stat("bucket/from here").md5


def test_what_is_not_there(connect: Connect, rclone: str, tmp_path: Path) -> None:
    s3, source = connect(rclone), str(file(tmp_path / "x", 3))
    s3.upload(source, "bucket/there/x", Watch())
    with pytest.raises(NotThere, match=r"^no such file$"):
        s3.stat("bucket/x")
    for ask in (
        lambda: s3.stat("none/x"),
        lambda: list(s3.walk("none/")),
        lambda: s3.upload(source, "none/x", Watch()),
    ):
        with pytest.raises(NotThere, match=r"^no such bucket$"):
            ask()
    with pytest.raises(NotThere, match=r"^no such folder$"):
        list(s3.walk("bucket/ther"))
    with pytest.raises(FetchError, match=r"^is a folder"):
        s3.stat("bucket/there")


def test_keys_that_are_wrong(connect: Connect, rclone: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    source = str(file(tmp_path / "x", 3))
    for variable, code in (("SECRET_ACCESS_KEY", "SignatureDoesNotMatch"), ("ACCESS_KEY_ID", "InvalidAccessKeyId")):
        with monkeypatch.context() as patch:
            patch.setenv(f"AWS_{variable}", "WRONG")
            s3 = connect(rclone)
        for ask in (
            lambda s3=s3: s3.stat("bucket/x"),
            lambda s3=s3: list(s3.walk("bucket")),
            lambda s3=s3: s3.upload(source, "bucket/x", Watch()),
        ):
            with pytest.raises(Refused, match=f"the storage does not accept these keys .{code}") as caught:
                ask()
            assert "\n" not in caught.value.reason


def test_a_stream_of_another_size_leaves_nothing(connect: Connect, moto: str) -> None:
    s3 = connect(moto)
    for size in (10, 40 * MIB):
        with pytest.raises(FetchError, match=f"{size} bytes of {size + 1}"):
            s3.write(BytesIO(bytes(size)), size + 1, "bucket/short", Watch())
        with pytest.raises(NotThere):
            s3.stat("bucket/short")
    assert "Uploads" not in client(moto).list_multipart_uploads(Bucket="bucket")


def test_a_file_that_changes_while_it_is_read_is_not_stored(connect: Connect, moto: str, tmp_path: Path) -> None:
    s3, source = connect(moto), file(tmp_path / "x", 70 * MIB)

    class Changing(Watch):
        def moved(self, count: int) -> None:
            if self.bytes < 40 * MIB <= self.bytes + count:
                with source.open("r+b") as written:
                    written.seek(5)
                    written.write(b"changed")
            super().moved(count)

    with pytest.raises(FetchError, match="changed while it was read") as caught:
        s3.upload(str(source), "bucket/changing", Changing())
    assert caught.value.retry
    with pytest.raises(NotThere):
        s3.stat("bucket/changing")
    assert "Uploads" not in client(moto).list_multipart_uploads(Bucket="bucket")


def test_parts_are_aborted_when_the_transfer_is_stopped(connect: Connect, moto: str, tmp_path: Path) -> None:
    s3, stop = connect(moto), threading.Event()

    class Stopping(Watch):
        def moved(self, count: int) -> None:
            stop.set()
            super().moved(count)

    with pytest.raises(FetchError, match="stopped"):
        s3.upload(str(file(tmp_path / "x", 70 * MIB)), "bucket/stopped", Stopping(stop))
    assert "Uploads" not in client(moto).list_multipart_uploads(Bucket="bucket")


def test_every_upload_tells_the_sha256_of_what_it_brings(connect: Connect, tmp_path: Path) -> None:
    def answer(asked: Asked) -> Told:
        body = b"<R><UploadId>u</UploadId></R>" if "uploads" in asked.query else b""
        return Told(headers=(("ETag", '"e"'),), body=body)

    with told_s3(answer) as server:
        for size in (10, 5 * MIB, 65 * MIB):
            connect(server.endpoint).upload(str(file(tmp_path / "x", size)), "bucket/x", Watch())
        sent = [asked for asked in server.asked if asked.method == "PUT"]
        assert len(sent) == 1 + 1 + 5
        for asked in sent:
            assert asked.headers["x-amz-content-sha256"] == hashlib.sha256(asked.body).hexdigest()


def test_a_part_that_fails_is_sent_again_by_itself(connect: Connect, tmp_path: Path) -> None:
    failed: list[str] = []

    def answer(asked: Asked) -> Told:
        if asked.query.get("partNumber") == "2" and not failed:
            failed.append("2")
            return error(503, "SlowDown")
        body = b"<R><UploadId>u</UploadId></R>" if "uploads" in asked.query else b""
        return Told(headers=(("ETag", f'"{asked.query.get("partNumber")}"'),), body=body)

    with told_s3(answer) as server:
        connect(server.endpoint).upload(str(file(tmp_path / "x", 65 * MIB)), "bucket/x", Watch())
        numbers = sorted(asked.query["partNumber"] for asked in server.asked if "partNumber" in asked.query)
        assert numbers == ["1", "2", "2", "3", "4", "5"]
        finish = server.asked[-1]
        assert [finish.body.index(f'<ETag>"{number}"</ETag>'.encode()) for number in range(1, 6)]


def test_an_upload_that_fails_at_its_very_end_is_no_success(connect: Connect, tmp_path: Path) -> None:
    def answer(asked: Asked) -> Told:
        if asked.method == "POST" and "uploadId" in asked.query:
            return error(200, "InternalError")
        body = b"<R><UploadId>u</UploadId></R>" if "uploads" in asked.query else b""
        return Told(headers=(("ETag", '"e"'),), body=body)

    with told_s3(answer) as server:
        with pytest.raises(FetchError, match="InternalError") as caught:
            connect(server.endpoint).upload(str(file(tmp_path / "x", 65 * MIB)), "bucket/x", Watch())
        assert caught.value.retry
        assert server.asked[-1].method == "DELETE"


def test_a_copy_that_fails_after_it_was_answered_is_no_success(connect: Connect) -> None:
    def answer(asked: Asked) -> Told:
        return error(200, "InternalError") if asked.method == "PUT" else Told(headers=(("ETag", '"e"'),))

    with told_s3(answer) as server, pytest.raises(FetchError, match="InternalError"):
        connect(server.endpoint).copy("bucket/x", "bucket/y", Watch())


def test_what_could_not_be_deleted_is_told_by_name(connect: Connect) -> None:
    def answer(asked: Asked) -> Told:
        if asked.method == "DELETE":
            return error(403, "AccessDenied")
        failed = b"<Error><Key>b &amp; c</Key><Code>AccessDenied</Code><Message>no</Message></Error>"
        return Told(body=b"<DeleteResult>" + failed + b"</DeleteResult>")

    with told_s3(answer) as server:
        ended = list(connect(server.endpoint).delete(["t/a", "t/b & c", "t/\n"], Watch()))
    assert ended == [
        ("t/a", ""),
        ("t/b & c", "the storage refuses: AccessDenied: no"),
        ("t/\n", "access denied (AccessDenied: it is so)"),
    ]


@pytest.mark.parametrize("sealed", [False, True])
def test_a_download_is_compared_with_the_md5_that_the_storage_knows(
    connect: Connect, tmp_path: Path, sealed: bool
) -> None:
    """An ETag that looks like an MD5 is none of the content where the storage encrypts with a key of its own."""
    etag = hashlib.md5(b"what was stored").hexdigest()
    headers: tuple[tuple[str, str], ...] = (
        ("ETag", f'"{etag}"'),
        ("Last-Modified", "Mon, 23 Nov 2026 00:49:35 GMT"),
        ("x-amz-server-side-encryption", "aws:kms" if sealed else "AES256"),
    )
    entry = Entry("x", 15, f'etag:"{etag}"', md5=etag)
    with told_s3(lambda asked: Told(headers=headers, body=b"what is not it!")) as server:
        s3 = connect(server.endpoint)
        if sealed:
            assert s3.download("bucket/x", entry, str(tmp_path / "x"), Watch()) == 15
        else:
            with pytest.raises(FetchError, match="its MD5 differs") as caught:
                s3.download("bucket/x", entry, str(tmp_path / "x"), Watch())
            assert caught.value.retry
            assert os.listdir(tmp_path) == []


def test_another_version_than_was_listed_is_not_taken(connect: Connect, tmp_path: Path) -> None:
    headers = (("ETag", '"2"'), ("Last-Modified", "Mon, 23 Nov 2026 00:49:35 GMT"))
    entry, target = Entry("x", 5, 'etag:"1"'), str(tmp_path / "x")
    with (
        told_s3(lambda asked: Told(headers=headers, body=b"12345")) as server,
        pytest.raises(FetchError, match="another one than was listed"),
    ):
        connect(server.endpoint).download("bucket/x", entry, target, Watch())
    assert os.listdir(tmp_path) == []


def test_a_bucket_in_another_region_is_found(connect: Connect, tmp_path: Path) -> None:
    def answer(asked: Asked) -> Told:
        if "/gra/s3/" not in asked.headers["authorization"]:
            if asked.method == "HEAD":
                return Told(400, (("x-amz-bucket-region", "gra"),))
            return error(400, "AuthorizationHeaderMalformed", "<Region>gra</Region>")
        return Told(body=b"<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>")

    with told_s3(answer) as server:
        assert list(connect(server.endpoint).walk("bucket")) == []
        assert connect(server.endpoint).upload(str(file(tmp_path / "x", 3)), "bucket/x", Watch()) == 3


def _same(told: Told, asked: Asked) -> Told:
    return told


def test_some_answers_and_what_they_mean(connect: Connect) -> None:
    for told, kind, retry, words in (
        (error(403, "AccessDenied"), Refused, False, "access denied .AccessDenied: it is so"),
        (error(403, "RequestTimeTooSkewed"), Refused, False, "clock of this machine"),
        (error(503, "SlowDown"), FetchError, True, "cannot now .SlowDown"),
        (Told(500, body=b"<html>"), FetchError, True, "status 500"),
        (Told(429), FetchError, True, "status 429"),
        (error(405, "MethodNotAllowed"), FetchError, False, "refuses: MethodNotAllowed"),
        (Told(200, body=b"<html><p>Hello"), FetchError, False, "no object storage"),
    ):
        with told_s3(partial(_same, told)) as server:
            with pytest.raises(FetchError, match=words) as caught:
                list(connect(server.endpoint).walk("bucket"))
            assert (type(caught.value), caught.value.retry) == (kind, retry)
            assert "\n" not in caught.value.reason


def test_a_listing_that_breaks_off_may_be_whole_another_time(connect: Connect) -> None:
    cut = Told(headers=(("Content-Length", "1000"), ("Connection", "close")), body=b"<ListBucketResult>")
    with told_s3(partial(_same, cut)) as server, pytest.raises(FetchError, match="ended 982 bytes early") as caught:
        list(connect(server.endpoint).walk("bucket/"))
    assert caught.value.retry


def test_an_endpoint_that_is_down_is_told_at_once(connect: Connect, tmp_path: Path) -> None:
    s3 = connect(f"http://127.0.0.1:{free_port()}")
    for ask in (lambda: s3.stat("bucket/x"), lambda: s3.upload(str(file(tmp_path / "x", 3)), "bucket/x", Watch())):
        with pytest.raises(FetchError, match=r"^127\.0\.0\.1:\d+: connection refused$") as caught:
            ask()
        assert caught.value.retry


@pytest.mark.parametrize("authority", [False, True])
def test_a_storage_behind_a_certificate_of_ones_own(
    connect: Connect, rclone: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, authority: bool
) -> None:
    source, own = file(tmp_path / "source", 100), certificate(tmp_path, authority=authority)
    with behind_tls(rclone, own) as endpoint:
        with pytest.raises(Refused, match="certificate is not trusted") as caught:
            connect(endpoint).stat("bucket/x")
        assert "AWS_CA_BUNDLE" in caught.value.reason

        monkeypatch.setenv("AWS_CA_BUNDLE", str(own.path))
        s3 = connect(endpoint)
        s3.upload(str(source), "bucket/tls", Watch())
        s3.download("bucket/tls", s3.stat("bucket/tls"), str(tmp_path / "back"), Watch())
        with s3.open("bucket/tls") as stream:
            assert stream.read() == (tmp_path / "back").read_bytes() == source.read_bytes()


@pytest.mark.parametrize(("authority", "native"), [(False, True), (True, False)])
def test_small_objects_go_the_native_way_wherever_it_takes_the_certificate(
    connect: Connect, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, authority: bool, native: bool
) -> None:
    own = certificate(tmp_path, authority=authority)
    monkeypatch.setenv("AWS_CA_BUNDLE", str(own.path))
    with told_s3(lambda asked: Told(headers=(("ETag", '"e"'),))) as server, behind_tls(server.endpoint, own) as here:
        assert connect(here).upload(str(file(tmp_path / "x", 100)), "bucket/x", Watch()) == 100
        (put,) = [asked for asked in server.asked if asked.method == "PUT"]
    assert put.headers.get("user-agent", "").startswith("object_store") == native


@pytest.mark.parametrize("count", [200_000, pytest.param(1_000_000, marks=pytest.mark.proof)])
def test_a_long_listing_in_memory_that_does_not_grow(connect: Connect, count: int) -> None:
    def answer(asked: Asked) -> Told:
        server.asked.clear()
        begin = int(asked.query.get("continuation-token", "0"))
        keys = "".join(
            f"<Contents><Key>run/{number:08}.fastq.gz</Key><LastModified>2026-11-23T00:49:35.000Z</LastModified>"
            f'<ETag>"{number:032x}"</ETag><Size>{number}</Size></Contents>'
            for number in range(begin, begin + 1000)
        )
        more = f"<IsTruncated>true</IsTruncated><NextContinuationToken>{begin + 1000}</NextContinuationToken>"
        return Told(
            body=f"<ListBucketResult>{more if begin + 1000 < count else ''}{keys}</ListBucketResult>".encode()
        )

    with told_s3(answer) as server:
        connect(server.endpoint)
        # Of this very program: what `getrusage` tells of a child holds the peak of who started it.
        program = (
            "from scitq import fetch; print(sum(1 for _ in fetch.list('s3://bucket/run')));"
            "print(*[line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')])"
        )
        told = subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, cwd=ROOT, check=True).stdout
    found, peak_kib = map(int, told.split())
    assert found == count
    assert peak_kib < 80 << 10  # as many entries together would take more
