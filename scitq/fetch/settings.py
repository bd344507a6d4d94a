"""What a user may set for transfers: one file, then the environment.

The file is `$SCITQ_FETCH_CONFIG`, or `fetch.toml` in `$XDG_CONFIG_HOME/scitq`:

    [s3]                          # the account of s3:// and of azure:// addresses that name none
    endpoint = "https://s3.gra.io.cloud.ovh.net"
    region = "gra"
    [azure]
    account = "lab"
    key = "…"
    [accounts.work]               # of s3@work://
    kind = "s3"
    profile = "work"
    [ena]
    url = "https://www.ebi.ac.uk/ena/portal/api"
    files = "https:// ftp://"     # put before the paths that ENA tells, in order: itself, or a mirror
    [aspera]
    key = "/home/ada/.aspera/key.pem"
    [limits]
    parallel = 8

A key that is not given is looked for where the storage's own tools look (`backends/accounts.py`).
"""

import os
import stat
from collections.abc import Mapping
from functools import cache
from typing import Any, NamedTuple

from scitq.fetch.storage import FetchError, Refused, why

ENA_URL = "https://www.ebi.ac.uk/ena/portal/api"
ENA_FILES = ("https://", "ftp://")
SRA_URL = "https://sra-pub-run-odp.s3.amazonaws.com/sra"


class S3Account(NamedTuple):
    """How to reach one S3 provider; what is empty is for the AWS files and environment to say."""

    endpoint: str = ""  # http(s)://HOST[:PORT]
    region: str = ""
    profile: str = ""  # of ~/.aws/config and ~/.aws/credentials
    access_key: str = ""
    secret_key: str = ""
    session_token: str = ""
    ca_bundle: str = ""  # PEM file of the authorities to trust
    anonymous: bool = False  # ask without signing: public buckets


class AzureAccount(NamedTuple):
    """How to reach one Azure storage account; what is empty is for the environment to say."""

    account: str = ""
    key: str = ""
    sas: str = ""
    connection_string: str = ""
    endpoint: str = ""  # http(s)://HOST[:PORT][/ACCOUNT] where it is not Azure's own
    ca_bundle: str = ""
    anonymous: bool = False


Account = S3Account | AzureAccount


class Settings(NamedTuple):
    """All of it, as read once per process."""

    accounts: Mapping[str, Account] = {}
    s3: S3Account = S3Account()
    azure: AzureAccount = AzureAccount()
    ena_url: str = ENA_URL  # of the portal API, without a final slash
    ena_files: tuple[str, ...] = ENA_FILES  # what is put before the paths that ENA tells, in the order of trying
    sra_url: str = SRA_URL  # public runs are URL/ACCESSION/ACCESSION
    aspera_key: str = ""  # a file; empty: where Aspera's own installers put one
    parallel: int = 8  # files at once
    connections: int = 4  # for one large file
    tries: int = 5  # for one file
    stall_s: float = 60.0  # without a byte: the connection counts as broken
    rate: float | None = None  # bytes per second, all together
    unpack_limit: int | None = None  # bytes that actions may write


_KINDS: dict[str, type[Account]] = {"s3": S3Account, "azure": AzureAccount}
_SECRET = {"secret_key", "session_token", "key", "sas", "connection_string"}
_LIMITS = ("parallel", "connections", "tries", "stall_s", "rate", "unpack_limit")
# table and key -> the field, and the variable that stands above the file
_TEXTS = {
    ("ena", "url"): ("ena_url", "SCITQ_ENA_URL"),
    ("ena", "files"): ("ena_files", "SCITQ_ENA_FILES"),
    ("sra", "url"): ("sra_url", "SCITQ_SRA_URL"),
    ("aspera", "key"): ("aspera_key", "SCITQ_ASPERA_KEY"),
}
_TABLES = ("accounts", *_KINDS, *dict.fromkeys(table for table, _ in _TEXTS), "limits")


@cache
def settings() -> Settings:
    """The settings of this process, read when first asked for. Raises FetchError: one line, with file and key."""
    return read(os.environ)


def read(environ: Mapping[str, str]) -> Settings:
    """What the file that `environ` places says, and `environ` itself. Raises as `settings` does."""
    path = _path(environ)
    found = _parsed(path) if path else {}
    fields: dict[str, Any] = {}
    for table, content in found.items():
        at = f"{path}: {table}"
        if table not in _TABLES:
            raise FetchError(f"{at}: unknown table (known: {' '.join(_TABLES)})", retry=False)
        if not isinstance(content, dict):
            raise FetchError(f"{at}: must be a table: [{table}]", retry=False)
        if table == "accounts":
            fields["accounts"] = {name: _account(f"{at}.{name}", one) for name, one in content.items()}
        elif table == "limits":
            fields |= {key: _limit(at, key, value) for key, value in content.items()}
        elif table in _KINDS:
            fields[table] = _filled(at, _KINDS[table], content)
        else:
            for key, value in content.items():
                if (table, key) not in _TEXTS:
                    known = " ".join(name for of, name in _TEXTS if of == table)
                    raise FetchError(f"{at}.{key}: unknown key (known: {known})", retry=False)
                field = _TEXTS[table, key][0]
                fields[field] = _text(f"{at}.{key}", field, value)
    for field, variable in _TEXTS.values():
        if value := environ.get(variable):
            fields[field] = _text(variable, field, value)
    return Settings(**fields)


def _path(environ: Mapping[str, str]) -> str | None:
    """The file to read: one that is named must be there, the usual one may be missing."""
    if named := environ.get("SCITQ_FETCH_CONFIG"):
        return named
    folder = environ.get("XDG_CONFIG_HOME", "")
    if not os.path.isabs(folder):  # the XDG standard: a relative one is ignored
        folder = os.path.join(environ.get("HOME") or os.path.expanduser("~"), ".config")
    path = os.path.join(folder, "scitq", "fetch.toml")
    return path if os.path.exists(path) else None


def _parsed(path: str) -> dict[str, Any]:
    import tomllib

    try:
        with open(path, "rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            found = tomllib.load(file)
    except OSError as error:
        raise FetchError(f"{path}: {why(error)}", retry=False) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise FetchError(f"{path}: not TOML: {error}", retry=False) from error
    if stat.S_ISREG(mode) and mode & 0o077 and _holds_secrets(found):
        raise Refused(f"{path}: others can read the keys in it: run `chmod 600 {path}`", retry=False)
    return found


def _holds_secrets(found: dict[str, Any]) -> bool:
    return any(key in _SECRET or (isinstance(value, dict) and _holds_secrets(value)) for key, value in found.items())


def _account(at: str, content: Any) -> Account:
    if not isinstance(content, dict) or content.get("kind") not in _KINDS:
        raise FetchError(f'{at}.kind: must be "s3" or "azure"', retry=False)
    return _filled(at, _KINDS[content["kind"]], {key: value for key, value in content.items() if key != "kind"})


def _filled(at: str, kind: type[Account], content: dict[str, Any]) -> Account:
    for key, value in content.items():
        if key not in kind._fields:
            raise FetchError(f"{at}.{key}: unknown key (known: {' '.join(kind._fields)})", retry=False)
        if type(value) is not type(kind._field_defaults[key]) or not value:
            wanted = "true" if key == "anonymous" else "a text that is not empty"
            raise FetchError(f"{at}.{key}: must be {wanted}", retry=False)
        if key == "endpoint":
            _url(f"{at}.{key}", value)
    if "access_key" in content and "secret_key" not in content:
        raise FetchError(f"{at}.secret_key: missing beside access_key", retry=False)
    return kind(**content)


def _limit(at: str, key: str, value: Any) -> int | float:
    if key not in _LIMITS:
        raise FetchError(f"{at}.{key}: unknown key (known: {' '.join(_LIMITS)})", retry=False)
    fitting = (int, float) if key in ("stall_s", "rate") else (int,)
    if isinstance(value, bool) or not isinstance(value, fitting) or not 0 < value < 1 << 63:
        kind = "number" if len(fitting) > 1 else "whole number"
        raise FetchError(f"{at}.{key}: must be a {kind} above 0", retry=False)
    return value


def _text(at: str, field: str, value: Any) -> str | tuple[str, ...]:
    if field == "ena_files":
        prefixes = tuple(value.split()) if isinstance(value, str) else ()
        if not prefixes or not all(one.startswith(("https://", "http://", "ftp://")) for one in prefixes):
            raise FetchError(f"{at}: must be addresses that begin with https://, http:// or ftp://", retry=False)
        return prefixes
    if field == "aspera_key":
        if not isinstance(value, str) or not os.path.isabs(value):
            raise FetchError(f"{at}: must be the absolute path of a file", retry=False)
        return value
    return _url(at, value)


def _url(at: str, value: Any) -> str:
    if not isinstance(value, str) or not value.startswith(("http://", "https://")):
        raise FetchError(f"{at}: must begin with http:// or https://", retry=False)
    return value.rstrip("/")
