from pathlib import Path

import pytest

from scitq.fetch.settings import AzureAccount, S3Account, Settings, read
from scitq.fetch.storage import FetchError, Refused


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "fetch.toml"
    path.touch(mode=0o600)
    return path


def test_without_a_file_all_have_their_defaults(tmp_path: Path) -> None:
    assert read({"HOME": str(tmp_path)}) == Settings()


def test_the_file_is_found_in_the_configuration_folder(tmp_path: Path) -> None:
    (tmp_path / "scitq").mkdir()
    (tmp_path / "scitq/fetch.toml").write_text("[limits]\nparallel = 3\n")
    assert read({"XDG_CONFIG_HOME": str(tmp_path)}).parallel == 3
    assert read({"XDG_CONFIG_HOME": "relative", "HOME": str(tmp_path)}).parallel == 8


def test_all_that_a_file_may_say(file: Path) -> None:
    file.write_text("""
        [accounts.work]
        kind = "s3"
        endpoint = "https://minio.lab"
        access_key = "a"
        secret_key = "b"
        [accounts.lake]
        kind = "azure"
        account = "lake"
        sas = "?sv=1"
        [s3]
        profile = "lab"
        [azure]
        connection_string = "AccountName=x"
        [ena]
        url = "http://ena.lab/api/"
        files = "https://mirror.lab/ena/ ftp://"
        [aspera]
        key = "/keys/one.pem"
        [sra]
        url = "http://sra.lab"
        [limits]
        parallel = 2
        connections = 3
        tries = 4
        stall_s = 1.5
        rate = 1000
        unpack_limit = 10
    """)
    found = read({"SCITQ_FETCH_CONFIG": str(file), "SCITQ_SRA_URL": "http://other/"})
    assert found == Settings(
        accounts={
            "work": S3Account(endpoint="https://minio.lab", access_key="a", secret_key="b"),
            "lake": AzureAccount(account="lake", sas="?sv=1"),
        },
        s3=S3Account(profile="lab"),
        azure=AzureAccount(connection_string="AccountName=x"),
        ena_url="http://ena.lab/api",
        ena_files=("https://mirror.lab/ena/", "ftp://"),
        aspera_key="/keys/one.pem",
        sra_url="http://other",
        parallel=2,
        connections=3,
        tries=4,
        stall_s=1.5,
        rate=1000,
        unpack_limit=10,
    )


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("[limits", "not TOML"),
        ("[lmits]", "lmits: unknown table (known: accounts s3 azure ena sra aspera limits)"),
        ("s3 = 1", "s3: must be a table"),
        ("[limits]\nparallel = 0", "limits.parallel: must be a whole number above 0"),
        ("[limits]\nparallel = true", "limits.parallel: must be a whole number above 0"),
        ("[limits]\ntries = 1.5", "limits.tries: must be a whole number above 0"),
        ("[limits]\nrate = nan", "limits.rate: must be a number above 0"),
        ("[limits]\nspeed = 1", "limits.speed: unknown key"),
        ("[accounts.x]\nregion = 'a'", 'accounts.x.kind: must be "s3" or "azure"'),
        ("accounts.x = 1", 'accounts.x.kind: must be "s3" or "azure"'),
        ("[accounts.x]\nkind = 's3'\nkey = 'a'", "accounts.x.key: unknown key"),
        ("[s3]\nregion = 1", "s3.region: must be a text that is not empty"),
        ("[s3]\nanonymous = 'yes'", "s3.anonymous: must be true"),
        ("[s3]\nendpoint = 'minio:9000'", "s3.endpoint: must begin with http:// or https://"),
        ("[s3]\naccess_key = 'a'", "s3.secret_key: missing beside access_key"),
        ("[ena]\nurl = 'ftp://x'", "ena.url: must begin with http:// or https://"),
        ("[ena]\nurls = 'http://x'", "ena.urls: unknown key (known: url files)"),
        ("[ena]\nfiles = 'mirror.lab'", "ena.files: must be addresses that begin with https://, http:// or ftp://"),
        ("[aspera]\nkey = 'key.pem'", "aspera.key: must be the absolute path of a file"),
    ],
)
def test_what_cannot_be_meant_is_one_line_with_file_and_key(file: Path, text: str, where: str) -> None:
    file.write_text(text)
    with pytest.raises(FetchError) as caught:
        read({"SCITQ_FETCH_CONFIG": str(file)})
    assert caught.value.reason.startswith(f"{file}: {where}")
    assert "\n" not in caught.value.reason


def test_a_named_file_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(FetchError, match="no such file"):
        read({"SCITQ_FETCH_CONFIG": str(tmp_path / "none.toml")})


def test_keys_that_others_can_read_are_refused(file: Path) -> None:
    file.write_text('[accounts.x]\nkind = "azure"\nkey = "a"')
    file.chmod(0o640)
    with pytest.raises(Refused, match=f"chmod 600 {file}"):
        read({"SCITQ_FETCH_CONFIG": str(file)})
    file.write_text('[accounts.x]\nkind = "s3"\nprofile = "a"')
    assert read({"SCITQ_FETCH_CONFIG": str(file)}).accounts == {"x": S3Account(profile="a")}
