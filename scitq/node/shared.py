"""The folder that workers share, by NFS as a rule: whatever it is called here, tasks call it /data."""

import os

import msgspec

from scitq.errors import UsageError
from scitq.fetch.uri import parse
from scitq.model import Spec

NAME = "/data"


def found(chosen: str) -> str:
    """The folder that tasks see as /data: the chosen one, else /data if there is one, else ""."""
    if chosen and not os.path.isdir(chosen):
        raise UsageError(f"--data {chosen}: there is no such folder on this machine")
    return os.path.abspath(chosen) if chosen else NAME if os.path.isdir(NAME) else ""


def located(spec: Spec, data: str) -> Spec:
    """The same task, what it calls file:///data/… named as it is called here."""
    if data in {"", NAME}:
        return spec
    return msgspec.structs.replace(
        spec,
        inputs=tuple(_located(text, data) for text in spec.inputs),
        resources=tuple(_located(text, data) for text in spec.resources),
        output=_located(spec.output, data),
    )


def _located(text: str, data: str) -> str:
    if NAME not in text:
        return text
    uri = parse(text)
    if uri.scheme != "file" or not f"{uri.path}/".startswith(f"{NAME}/"):
        return text
    return str(uri._replace(path=data + uri.path[len(NAME) :]))
