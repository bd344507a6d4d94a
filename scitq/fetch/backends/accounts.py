"""Who we are to a storage: found where its own tools look, without their SDK where keys simply stand somewhere.

An address may name an account (`s3@work://`): one of scitq's own configuration, or, for S3, a profile of the AWS
files; `anonymous`, unless it is configured, asks without signing, as public buckets want it.
"""

import base64
import binascii
import os
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple, TypeVar

from scitq.fetch.backends.aws_files import Profile, read_profile
from scitq.fetch.backends.signing import Keys
from scitq.fetch.places import address
from scitq.fetch.settings import AzureAccount, S3Account, Settings
from scitq.fetch.storage import FetchError, Refused
from scitq.fetch.uri import one_line

A = TypeVar("A", S3Account, AzureAccount)

_NO_S3 = (
    "no credentials for S3: run `aws configure`, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY "
    "(a public bucket is read as s3@anonymous://…)"
)
_NO_AZURE = (
    "no credentials for Azure: set AZURE_STORAGE_CONNECTION_STRING, or AZURE_STORAGE_ACCOUNT and AZURE_STORAGE_KEY "
    "or AZURE_STORAGE_SAS_TOKEN"
)
# The account that Azurite, and Microsoft's emulator before it, publish for everyone.
_EMULATED = (
    "AccountName=devstoreaccount1;"
    "AccountKey=Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==;"
    "BlobEndpoint=http://127.0.0.1:10000/devstoreaccount1"
)


class S3Access(NamedTuple):
    """How to reach S3, and as whom."""

    endpoint: str  # "" is AWS itself, by region
    region: str  # "" is not known
    virtual: bool  # bucket.host, not host/bucket
    ca_bundle: str
    keys: Callable[[], Keys] | None  # asked for each request: they may expire; None asks without signing


class AzureAccess(NamedTuple):
    """How to reach one Azure storage account: by key, else by SAS, else by token, else without signing."""

    endpoint: str  # without a final slash; containers come right behind it
    account: str
    ca_bundle: str
    key: str = ""
    sas: str = ""  # as a query, without the question mark
    token: Callable[[], str] | None = None


def s3_access(name: str, settings: Settings, environ: Mapping[str, str] = os.environ) -> S3Access:
    """The S3 account of this name ("" is the default one). Raises FetchError, Refused without credentials."""
    account = _account(name, settings, settings.s3, S3Account)
    explicit = account.profile if account is not None else name
    profile = explicit or environ.get("AWS_PROFILE") or environ.get("AWS_DEFAULT_PROFILE") or "default"
    found = read_profile(profile, environ)
    if explicit and not found.known:
        where = "no such account in fetch.toml, and no such profile in the AWS files"
        raise Refused(f"{one_line(explicit)}: {where}", retry=False)
    account = account or S3Account(profile=profile)
    # A profile that was named speaks before the environment, which is for whoever names none.
    endpoints = [environ.get("AWS_ENDPOINT_URL_S3") or environ.get("AWS_ENDPOINT_URL") or "", found.endpoint]
    regions = [environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION") or "", found.region]
    if explicit:
        endpoints.reverse()
        regions.reverse()
    return S3Access(
        endpoint=_address(account.endpoint or endpoints[0] or endpoints[1]),
        region=account.region or regions[0] or regions[1],
        virtual=found.virtual,
        ca_bundle=account.ca_bundle or environ.get("AWS_CA_BUNDLE") or found.ca_bundle,
        keys=None if account.anonymous else _s3_keys(account, explicit, found, environ),
    )


def azure_access(name: str, settings: Settings, environ: Mapping[str, str] = os.environ) -> AzureAccess:
    """The Azure account of this name ("" is the default one). Raises FetchError, Refused without credentials."""
    account = _account(name, settings, settings.azure, AzureAccount)
    if account is None:
        raise Refused(f"{one_line(name)}: no such account in fetch.toml", retry=False)
    anonymous = account.anonymous
    if account == AzureAccount(ca_bundle=account.ca_bundle, endpoint=account.endpoint, anonymous=anonymous):
        account = _azure_environment(account, environ)
    if account.connection_string:
        account = _connected(account)
    if not account.account:
        raise Refused(_NO_AZURE, retry=False)
    if anonymous:
        account = account._replace(key="", sas="")
    if account.key:
        try:
            base64.b64decode(account.key, validate=True)
        except binascii.Error as error:
            raise Refused("the key of the Azure account is damaged: it is no base64", retry=False) from error
    return AzureAccess(
        endpoint=_address(account.endpoint) or f"https://{account.account}.blob.core.windows.net",
        account=account.account,
        ca_bundle=account.ca_bundle,
        key=account.key,
        sas=account.sas.removeprefix("?"),
        token=None if account.key or account.sas or anonymous else _azure_identity(),
    )


def _account(name: str, settings: Settings, default: A, kind: type[A]) -> A | None:
    """What the settings say of this account; None when nothing."""
    if not name:
        return default
    found = settings.accounts.get(name)
    if found is None:
        return kind(anonymous=True) if name == "anonymous" else None
    if not isinstance(found, kind):
        raise Refused(f"{one_line(name)}: is an account of another kind of storage", retry=False)
    return found


def _address(endpoint: str) -> str:
    if endpoint and not endpoint.startswith(("http://", "https://")):
        raise FetchError(f"endpoint {one_line(endpoint)}: must begin with http:// or https://", retry=False)
    try:
        return address(endpoint).text.rstrip("/") if endpoint else ""
    except FetchError as error:
        raise FetchError(f"endpoint {one_line(endpoint)}: {error.reason}", retry=False) from None


def _s3_keys(account: S3Account, explicit: str, found: Profile, environ: Mapping[str, str]) -> Callable[[], Keys]:
    """As boto3 looks: what was given, the environment unless a profile was named, the files, all the rest."""
    keys = None
    if account.access_key:
        keys = Keys(account.access_key, account.secret_key, account.session_token)
    elif not explicit and environ.get("AWS_ACCESS_KEY_ID") and environ.get("AWS_SECRET_ACCESS_KEY"):
        token = environ.get("AWS_SESSION_TOKEN", "")
        keys = Keys(environ["AWS_ACCESS_KEY_ID"], environ["AWS_SECRET_ACCESS_KEY"], token)
    elif explicit or "AWS_WEB_IDENTITY_TOKEN_FILE" not in environ:
        keys = found.keys
    if keys is None:
        return _resolved(account.profile)
    return lambda: keys


def _resolved(profile: str) -> Callable[[], Keys]:
    """Roles, single sign-on, other programs, the instance's own: boto3 knows them, and renews what expires."""
    import boto3
    from botocore.exceptions import BotoCoreError

    def refused(error: Exception) -> Refused:
        return Refused(f"no credentials for S3: {one_line(str(error))}", retry=False)

    try:
        found = boto3.Session(profile_name=profile or None).get_credentials()
    except BotoCoreError as error:
        raise refused(error) from error
    if found is None:
        raise Refused(_NO_S3, retry=False)

    def keys() -> Keys:
        try:
            now = found.get_frozen_credentials()
        except BotoCoreError as error:
            raise refused(error) from error
        return Keys(now.access_key or "", now.secret_key or "", now.token or "")

    keys()
    return keys


def _azure_environment(account: AzureAccount, environ: Mapping[str, str]) -> AzureAccount:
    return account._replace(
        connection_string=environ.get("AZURE_STORAGE_CONNECTION_STRING", ""),
        account=environ.get("AZURE_STORAGE_ACCOUNT") or environ.get("SCITQ_AZURE_ACCOUNT") or "",
        key=environ.get("AZURE_STORAGE_KEY") or environ.get("SCITQ_AZURE_KEY") or "",
        sas=environ.get("AZURE_STORAGE_SAS_TOKEN", ""),
    )


def _connected(account: AzureAccount) -> AzureAccount:
    """What a connection string says, in the place of the single fields."""
    text = account.connection_string
    fields = dict(part.strip().split("=", 1) for part in text.split(";") if "=" in part)
    if fields.get("UseDevelopmentStorage", "").lower() == "true":
        fields = dict(part.split("=", 1) for part in _EMULATED.split(";"))
    endpoint = fields.get("BlobEndpoint", "")
    name = fields.get("AccountName", "")
    if not name and endpoint:  # with a SAS only the endpoint may be there
        name = endpoint.split("://")[-1].split("/")[0].split(".")[0]
    if not name:
        raise Refused("the Azure connection string names no account (AccountName=…)", retry=False)
    protocol = fields.get("DefaultEndpointsProtocol", "https")
    suffix = fields.get("EndpointSuffix", "core.windows.net")
    return AzureAccount(
        account=name,
        key=fields.get("AccountKey", ""),
        sas=fields.get("SharedAccessSignature", ""),
        endpoint=endpoint or f"{protocol}://{name}.blob.{suffix}",
        ca_bundle=account.ca_bundle,
    )


def _azure_identity() -> Callable[[], str]:
    """Whatever identity the Azure tools find (a login, a managed identity), by their own package."""
    try:
        from azure.core.exceptions import AzureError
        from azure.identity import DefaultAzureCredential
    except ImportError:
        reason = f"{_NO_AZURE}; or `pip install 'scitq[azure]'` for logins and managed identities"
        raise Refused(reason, retry=False) from None
    found = DefaultAzureCredential()
    held = ("", 0.0)

    def token() -> str:
        nonlocal held
        if held[1] < time.time() + 300:
            try:
                given = found.get_token("https://storage.azure.com/.default")
            except AzureError as error:
                raise Refused(f"no credentials for Azure: {one_line(str(error))}", retry=False) from error
            held = (given.token, given.expires_on)
        return held[0]

    token()
    return token
