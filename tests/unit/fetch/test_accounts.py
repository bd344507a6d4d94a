import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from scitq.fetch.backends.accounts import S3Access, azure_access, s3_access
from scitq.fetch.backends.signing import Keys
from scitq.fetch.settings import AzureAccount, S3Account, Settings
from scitq.fetch.storage import FetchError, Refused

CONFIG = """
[default]
region = eu-west-3
[profile lab]
region = gra
endpoint_url = https://s3.gra.example/
s3 =
  addressing_style = virtual
[profile minio]
services = local
ca_bundle = /ca.pem
[services local]
s3 =
  endpoint_url = http://minio:9000
[profile role]
role_arn = arn:aws:iam::1:role/x
source_profile = default
"""
CREDENTIALS = """
[default]
aws_access_key_id = D
aws_secret_access_key = d
[lab]
aws_access_key_id = L
aws_secret_access_key = l
aws_session_token = t
[minio]
aws_access_key_id = M
aws_secret_access_key = m
[role]
aws_access_key_id = R
aws_secret_access_key = r
"""
ENVIRONMENT = {"AWS_ACCESS_KEY_ID": "E", "AWS_SECRET_ACCESS_KEY": "e"}
KEY = "a2V5"
NOTHING = Settings()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws/config").write_text(CONFIG)
    (tmp_path / ".aws/credentials").write_text(CREDENTIALS)
    return {"HOME": str(tmp_path)}


def access(name: str, environ: Mapping[str, str], settings: Settings = NOTHING) -> tuple[Keys | None, S3Access]:
    found = s3_access(name, settings, environ)
    return (found.keys() if found.keys else None), found


def test_the_environment_comes_before_the_files(home: dict[str, str]) -> None:
    assert access("", home)[0] == Keys("D", "d")
    assert access("", home)[1].region == "eu-west-3"
    keys, found = access("", home | ENVIRONMENT | {"AWS_REGION": "r", "AWS_ENDPOINT_URL": "http://e"})
    assert (keys, found.region, found.endpoint) == (Keys("E", "e"), "r", "http://e")


def test_a_profile_that_is_named_comes_before_the_environment(home: dict[str, str]) -> None:
    for environ in (home, home | ENVIRONMENT | {"AWS_REGION": "r", "AWS_ENDPOINT_URL": "http://e"}):
        keys, found = access("lab", environ)
        assert keys == Keys("L", "l", "t")
        assert (found.endpoint, found.region, found.virtual) == ("https://s3.gra.example", "gra", True)
    assert access("", home | {"AWS_PROFILE": "lab"})[0] == Keys("L", "l", "t")


def test_the_endpoint_of_a_section_of_services(home: dict[str, str]) -> None:
    keys, found = access("minio", home)
    assert (keys, found.endpoint, found.ca_bundle) == (Keys("M", "m"), "http://minio:9000", "/ca.pem")


def test_the_files_may_be_elsewhere(home: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "keys").write_text("[default]\naws_access_key_id = X\naws_secret_access_key = x\n")
    assert access("", home | {"AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "keys")})[0] == Keys("X", "x")


def test_an_account_of_the_settings(home: dict[str, str]) -> None:
    work = S3Account(endpoint="https://minio.lab", region="eu", access_key="A", secret_key="a")
    accounts = Settings(accounts={"work": work, "other": S3Account(profile="lab"), "lake": AzureAccount()})
    keys, found = access("work", home | ENVIRONMENT, accounts)
    assert (keys, found.endpoint, found.region) == (Keys("A", "a"), "https://minio.lab", "eu")
    assert access("other", home | ENVIRONMENT, accounts)[0] == Keys("L", "l", "t")
    with pytest.raises(Refused, match="lake: is an account of another kind of storage"):
        access("lake", home, accounts)


def test_public_buckets_are_asked_without_keys(home: dict[str, str]) -> None:
    assert access("anonymous", home)[0] is None
    assert access("", {"HOME": "/nowhere"}, Settings(s3=S3Account(anonymous=True)))[0] is None


def test_static_keys_need_no_sdk(home: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "boto3", None)
    assert access("lab", home)[0] == Keys("L", "l", "t")


def test_what_boto3_alone_can_resolve(home: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    script = '{"Version": 1, "AccessKeyId": "P", "SecretAccessKey": "p"}'
    program = Path(home["HOME"]) / "keys"
    program.write_text(f"#!/bin/sh\necho '{script}'\n")
    program.chmod(0o755)
    with (Path(home["HOME"]) / ".aws/config").open("a") as file:
        file.write(f"[profile program]\ncredential_process = {program}\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", f"{home['HOME']}/.aws/config")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", f"{home['HOME']}/.aws/credentials")
    assert access("program", home)[0] == Keys("P", "p")


def test_no_credentials_is_one_line_that_helps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(Refused, match=r"no credentials for S3: run `aws configure`.*s3@anonymous"):
        access("", {"HOME": str(tmp_path)})


def test_unknown_names_and_damaged_files(home: dict[str, str]) -> None:
    with pytest.raises(Refused, match=r"nobody: no such account in fetch\.toml, and no such profile"):
        access("nobody", home)
    with pytest.raises(FetchError, match="endpoint minio:9000: must begin with http"):
        access("", home | {"AWS_ENDPOINT_URL": "minio:9000"})
    (Path(home["HOME"]) / ".aws/config").write_text("region = x\n")
    with pytest.raises(FetchError, match=r"\.aws/config: cannot be read"):
        access("", home)


@pytest.mark.parametrize(
    ("environ", "endpoint", "key", "sas"),
    [
        ({"SCITQ_AZURE_ACCOUNT": "lab", "SCITQ_AZURE_KEY": KEY}, "https://lab.blob.core.windows.net", KEY, ""),
        ({"AZURE_STORAGE_ACCOUNT": "a", "AZURE_STORAGE_KEY": KEY}, "https://a.blob.core.windows.net", KEY, ""),
        (
            {"AZURE_STORAGE_ACCOUNT": "a", "AZURE_STORAGE_SAS_TOKEN": "?sv=1&sig=x"},
            "https://a.blob.core.windows.net",
            "",
            "sv=1&sig=x",
        ),
        (
            {"AZURE_STORAGE_CONNECTION_STRING": f"AccountName=a;AccountKey={KEY};EndpointSuffix=core.azure.cn"},
            "https://a.blob.core.azure.cn",
            KEY,
            "",
        ),
        (
            {
                "AZURE_STORAGE_CONNECTION_STRING": "BlobEndpoint=https://b.blob.example/;SharedAccessSignature=sv=1&sig=x="
            },
            "https://b.blob.example",
            "",
            "sv=1&sig=x=",
        ),
    ],
)
def test_azure_as_its_tools_are_told(environ: dict[str, str], endpoint: str, key: str, sas: str) -> None:
    found = azure_access("", Settings(), environ)
    assert (found.endpoint, found.key, found.sas, found.token) == (endpoint, key, sas, None)


def test_the_emulator_has_an_account_that_everyone_knows() -> None:
    found = azure_access("", Settings(azure=AzureAccount(connection_string="UseDevelopmentStorage=true")), {})
    assert (found.account, found.endpoint) == ("devstoreaccount1", "http://127.0.0.1:10000/devstoreaccount1")


def test_azure_without_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Refused, match="no credentials for Azure: set AZURE_STORAGE_CONNECTION_STRING"):
        azure_access("", Settings(), {})
    monkeypatch.setitem(sys.modules, "azure.identity", None)
    with pytest.raises(Refused, match=r"pip install 'scitq\[azure\]'"):
        azure_access("", Settings(), {"AZURE_STORAGE_ACCOUNT": "a"})
    with pytest.raises(Refused, match="it is no base64"):
        azure_access("", Settings(azure=AzureAccount(account="a", key="?")), {})
    assert azure_access("", Settings(azure=AzureAccount(account="a", anonymous=True)), {}).token is None
