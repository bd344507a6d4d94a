"""What the files of the AWS tools say about a profile: keys, region, endpoint, how to address buckets."""

import os
from collections.abc import Mapping
from typing import NamedTuple

from scitq.fetch.backends.signing import Keys
from scitq.fetch.storage import FetchError

# With one of these in a profile its keys come from elsewhere: botocore knows how.
_ELSEWHERE = ("role_arn", "sso_session", "sso_start_url", "web_identity_token_file", "credential_process")


class Profile(NamedTuple):
    """One profile, as the two files together tell it."""

    known: bool  # a section of this name is there
    keys: Keys | None  # None: not in the files, or not to be taken from them
    region: str
    endpoint: str
    ca_bundle: str
    virtual: bool  # bucket.host, not host/bucket


def read_profile(name: str, environ: Mapping[str, str]) -> Profile:
    """The profile of this name in the files that `environ` places. Raises FetchError when a file is damaged."""
    home = environ.get("HOME") or os.path.expanduser("~")
    config = _sections(environ.get("AWS_CONFIG_FILE") or os.path.join(home, ".aws/config"))
    secrets = _sections(environ.get("AWS_SHARED_CREDENTIALS_FILE") or os.path.join(home, ".aws/credentials"))
    section = _named(config, name)
    own = secrets.get(name, {})
    known = section is not None or name in secrets
    section = section or {}
    services = _nested(config.get(f"services {section.get('services', '')}", {}).get("s3", ""))
    s3 = _nested(section.get("s3", ""))
    keys = None
    if not any(key in section or key in own for key in _ELSEWHERE):
        found = own if "aws_access_key_id" in own else section
        if found.get("aws_access_key_id") and found.get("aws_secret_access_key"):
            token = found.get("aws_session_token", "")
            keys = Keys(found["aws_access_key_id"], found["aws_secret_access_key"], token)
    endpoint = next(
        (found["endpoint_url"] for found in (services, s3, section, own) if found.get("endpoint_url")),
        "",
    )
    return Profile(
        known=known,
        keys=keys,
        region=section.get("region") or own.get("region") or "",
        endpoint=endpoint,
        ca_bundle=section.get("ca_bundle", ""),
        virtual=s3.get("addressing_style") == "virtual",
    )


def _sections(path: str) -> dict[str, dict[str, str]]:
    path = os.path.expanduser(path)
    try:
        with open(path, encoding="utf-8") as file:
            lines = file.readlines()
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise _unreadable(path, error) from error
    from configparser import Error, RawConfigParser  # only for who has such a file

    parser = RawConfigParser(default_section="", strict=False)
    try:
        parser.read_file(lines, path)
    except Error as error:
        raise _unreadable(path, error) from error
    return {name: dict(parser[name]) for name in parser.sections()}


def _unreadable(path: str, error: Exception) -> FetchError:
    return FetchError(f"{path}: cannot be read: {str(error).splitlines()[0]}", retry=False)


def _named(config: Mapping[str, dict[str, str]], name: str) -> dict[str, str] | None:
    """A profile's section in the config file: `[profile NAME]`, quotes allowed, or `[default]`."""
    for section, content in config.items():
        words = section.split(maxsplit=1)
        if words[:1] == ["profile"] and len(words) == 2 and words[1].strip("\"'") == name:
            return content
    return config.get("default") if name == "default" else None


def _nested(text: str) -> dict[str, str]:
    """The lines `key = value` that stand, further in, below one key."""
    pairs = (line.partition("=") for line in text.splitlines() if "=" in line)
    return {key.strip(): value.strip() for key, _, value in pairs}
