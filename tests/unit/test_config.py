import os
from pathlib import Path

import pytest

from scitq import config
from scitq.config import AccessFile, Server
from scitq.errors import Conflict, NotFound, Refused, ScitqError, UsageError

KEY = "0123456789abcdefghijABCDEFGHIJ.-:+=^!/*?"
ALICE = AccessFile(
    name="alice", role="user", address="tcp://lab:5555", server_key=KEY, public_key=KEY[::-1], secret_key=KEY
)


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    folder = tmp_path / "config"
    (folder / "scitq/access").mkdir(parents=True)
    return {"HOME": str(tmp_path), "XDG_CONFIG_HOME": str(folder), "XDG_STATE_HOME": str(tmp_path / "state")}


@pytest.fixture
def folder(environ: dict[str, str]) -> Path:
    return Path(environ["XDG_CONFIG_HOME"]) / "scitq"


def test_nothing_said_means_the_local_mesh(environ: dict[str, str]) -> None:
    found = config.resolve(environ=environ)
    assert found == Server(address=config.local_paths(environ=environ).address, local=True)
    assert found.address.startswith(f"ipc://{environ['XDG_STATE_HOME']}/scitq/{os.uname().nodename}/")


def test_an_access_file_is_named(environ: dict[str, str], folder: Path) -> None:
    config.write_access(folder / "access/lab.toml", ALICE)
    expected = Server(
        address="tcp://lab:5555", server_key=KEY, public_key=ALICE.public_key, secret_key=ALICE.secret_key
    )
    assert config.resolve("lab", environ=environ) == expected
    assert config.resolve("tcp://lab:5555", environ=environ) == expected
    assert config.resolve(environ=environ | {"SCITQ_SERVER": "lab"}) == expected
    (folder / "config.toml").write_text('server = "lab"\n')
    assert config.resolve(environ=environ) == expected


def test_a_flag_wins_over_the_environment_and_that_over_the_file(environ: dict[str, str], folder: Path) -> None:
    (folder / "config.toml").write_text('server = "ipc:///run/file"\n')
    assert config.resolve(environ=environ).address == "ipc:///run/file"
    environ["SCITQ_SERVER"] = "ipc:///run/environment"
    assert config.resolve(environ=environ).address == "ipc:///run/environment"
    assert config.resolve("ipc:///run/flag", environ=environ).address == "ipc:///run/flag"
    assert config.resolve(state="/some/state", environ=environ).address == "ipc:///some/state/run/broker.sock"
    assert config.resolve(state="/some/state", environ=environ).local


def test_an_access_file_given_may_be_used_at_another_address(environ: dict[str, str], tmp_path: Path) -> None:
    config.write_access(tmp_path / "key.toml", ALICE)
    assert config.resolve(access=tmp_path / "key.toml", environ=environ).address == "tcp://lab:5555"
    moved = config.resolve("tcp://127.0.0.1:7000", access=tmp_path / "key.toml", environ=environ)
    assert (moved.address, moved.server_key) == ("tcp://127.0.0.1:7000", KEY)


def test_an_address_without_keys_is_refused(environ: dict[str, str], folder: Path) -> None:
    with pytest.raises(NotFound, match=r"no access file for 'lab'.*access create"):
        config.resolve("lab", environ=environ)
    for name in ("one", "two"):
        config.write_access(folder / f"access/{name}.toml", ALICE)
    with pytest.raises(UsageError, match="name one of one, two"):
        config.resolve("lab", environ=environ)
    with pytest.raises(UsageError, match="give no server"):
        config.resolve("lab", state="/state", environ=environ)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("tcp://lab:7000", "tcp://lab:7000"),
        ("lab", "tcp://lab:5555"),
        ("127.0.0.1:80", "tcp://127.0.0.1:80"),
        ("[::1]:80", "tcp://[::1]:80"),
        ("ipc:///run/x", "ipc:///run/x"),
    ],
)
def test_addresses(text: str, address: str) -> None:
    assert config.parse_address(text) == address


@pytest.mark.parametrize(
    "text",
    ["", "tcp://", "lab:0", "lab:70000", "http://lab", "ipc://run", "ipc:///" + "x" * 100, "a b", "::1"],
)
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(UsageError, match="not an address"):
        config.parse_address(text)


def test_an_access_file_is_private_and_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "key.toml"
    config.write_access(path, ALICE)
    assert path.stat().st_mode & 0o777 == 0o600
    assert config.read_access(path) == ALICE
    with pytest.raises(Conflict, match="exists already"):
        config.write_access(path, ALICE)
    path.chmod(0o640)
    with pytest.raises(Refused, match=r"others can read.*chmod 600"):
        config.read_access(path)
    with pytest.raises(NotFound):
        config.read_access(tmp_path / "none.toml")
    with pytest.raises(UsageError, match="cannot be written"):
        config.write_access(tmp_path / "none/key.toml", ALICE)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('name = "alice"', "name = 3", "name: must be a text"),
        ('role = "user"', 'role = "king"', "role: 'king' is none of"),
        ('role = "user"', "", "role: missing"),
        ('role = "user"', 'role = "user"\ncolour = "red"', "colour: unknown key"),
        (f'server_key = "{KEY}"', 'server_key = "short"', "server_key: not a key"),
        ("tcp://lab:5555", "tcp://lab:x", "address: not an address"),
        ("=", "", "not TOML"),
    ],
)
def test_a_wrong_access_file_is_named_with_the_key(tmp_path: Path, old: str, new: str, said: str) -> None:
    path = tmp_path / "key.toml"
    config.write_access(path, ALICE)
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(ScitqError) as raised:
        config.read_access(path)
    assert str(raised.value).startswith(f"{path}: {said}")
    assert "\n" not in str(raised.value)


def test_a_wrong_configuration_is_named_with_the_key(environ: dict[str, str], folder: Path) -> None:
    (folder / "config.toml").write_text('sever = "lab"\n')
    with pytest.raises(UsageError, match=r"config\.toml: sever: unknown key; known are server"):
        config.resolve(environ=environ)


def test_folders_of_root_and_of_a_user() -> None:
    mine = config.user_folders({"HOME": "/home/me", "XDG_STATE_HOME": "relative"}, uid=1000, host="h")
    assert (str(mine.config), str(mine.state)) == ("/home/me/.config/scitq", "/home/me/.local/state/scitq/h")
    assert str(mine.scratch) == "/home/me/.local/share/scitq/h/scratch"
    roots = config.user_folders({"HOME": "/root"}, uid=0, host="h")
    assert (str(roots.state), str(roots.scratch)) == ("/var/lib/scitq", "/scratch")
    said = config.user_folders({"HOME": "/root", "XDG_STATE_HOME": "/s", "XDG_DATA_HOME": "/d"}, uid=0, host="h")
    assert (str(said.state), str(said.scratch)) == ("/s/scitq/h", "/d/scitq/h/scratch")


def test_a_state_folder_of_its_own_holds_everything() -> None:
    paths = config.local_paths("/some/where", uid=1000)
    assert (str(paths.state), str(paths.scratch)) == ("/some/where", "/some/where/scratch")
    assert paths.address == "ipc:///some/where/run/broker.sock"


def test_the_socket_of_a_deep_state_has_a_short_path_of_its_own() -> None:
    deep, other = (config.local_paths(f"/{'d' * 100}/{name}", uid=1000).socket for name in "ab")
    assert deep.parent == other.parent == Path("/tmp/scitq-1000")
    assert deep != other
    assert len(bytes(deep)) < config.SOCKET_PATH_LIMIT


def test_a_folder_others_can_enter_is_not_trusted(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    config.make_private(folder)
    config.make_private(folder)
    folder.chmod(0o750)
    with pytest.raises(Refused, match="chmod 700"):
        config.make_private(folder)
    (tmp_path / "link").symlink_to(tmp_path)
    with pytest.raises(Refused):
        config.check_private(tmp_path / "link")
