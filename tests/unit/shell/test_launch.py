"""What `launch -t` shows, what is refused before anything is asked of a server, and how it is told."""

import json
import os
from pathlib import Path

import pytest

from scitq.model import Spec
from scitq.shell.main import launch as launch_alias
from scitq.shell.main import run


@pytest.fixture(autouse=True)
def no_server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Whoever looks for a server finds that nothing answers."""
    monkeypatch.setenv("SCITQ_SERVER", f"ipc://{tmp_path}/nobody.sock")
    monkeypatch.chdir(tmp_path)


def shown(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = run(["launch", *words])
    out, err = capsys.readouterr()
    return code, out, err


def test_the_test_option_shows_all_that_would_be_sent(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    words = [
        *("-t", "-b", "my batch", "-n", "it's", "-i", "a/b.txt", "-i", "file:///d/", "-r", "/r.tgz|untar"),
        *("-o", "./out/", "-u", "1000", "-g", "100", "-e", "A=1", "-e", "B=x y", "-R", "3,5", "-R", "7-9"),
        *("--retry", "2", "--run-timeout", "1.5", "--download-timeout", "60", "--priority", "-3"),
        *("--cpu", "2.5", "--mem", "1.5G", "--gpu", "0.5", "--disk", "20G"),
        *("--log-limit", "none", "sh", "-c", "echo $CPU -h", "", "é", "a\nb", "--", "-t"),
    ]

    assert shown(capsys, *words) == (
        0,
        f"""\
command            sh -c 'echo $CPU -h' '' 'é' $'a\\nb' -- -t
batch              'my batch'
name               'it'"'"'s'
inputs             {tmp_path}/a/b.txt
inputs             file:///d/
resources          '/r.tgz|untar'
output             {tmp_path}/out/
env                A=1
env                B='x y'
uid                1000
gid                100
retry              2
run_timeout        1.5
download_timeout   60.0
priority           -3
log_limit          none
requires           3,5,7,8,9
cpu                2.5
mem                1610612736
gpu                0.5
disk               21474836480
""",
        "",
    )


def test_none_is_no_request(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["-t", "--cpu", "none", "--mem", "none", "--gpu", "none", "--disk", "none", "true"]

    assert shown(capsys, *words) == shown(capsys, "-t", "true")


def test_what_is_not_given_is_not_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert shown(capsys, "-t", "true")[1] == "command            true\nbatch              Default\n"


def test_the_test_option_shows_the_refusals_too(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = shown(capsys, "-t", "-d", "ubuntu", "-O", "--name mine", "-i", "/x|fold", "true")

    assert code == 2
    assert "container          ubuntu\ncontainer_options  '--name mine'\n" in out
    assert err.splitlines() == [
        (
            "scitq: would be refused: -O: --name is refused: "
            "scitq names the container, so that an attempt is never started twice"
        ),
        "scitq: would be refused: -i /x|fold: unknown action fold (known: gunzip untar unzip mv:<folder>)",
    ]


def test_json_holds_every_field_of_the_model(capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = shown(capsys, "-t", "--json", os.fsdecode(b"\xff"), "x")

    (found,) = json.loads(out)
    assert set(found) == set(Spec.__struct_fields__)
    assert [os.fsencode(word) for word in found["command"]] == [b"\xff", b"x"]


def test_the_alias_is_the_same_command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["scitq-launch", "-t", "ls", "-l"])

    assert launch_alias() == 0
    assert capsys.readouterr().out.startswith("command            ls -l\n")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "no command (only an image given by -d may bring its own)"),
        (["--"], "no command (only an image given by -d may bring its own)"),
        (["", "x"], "the command's first word is empty: it names the program"),
        (["-d", "ubuntu", "-O", "-itd", "ls"], "-O: -itd is refused: a task always runs in the background"),
        (["-d", "a b", "ls"], "-d 'a b' is no name of an image"),
        (["-d", "ubuntu", "\udcff"], "docker takes words and variables in UTF-8 only, and here is one that is not"),
        (["-O", "--rm", "ls"], "-O: options for docker need an image (-d)"),
        (["-i", "run+fastq://SRR1", "ls"], "-i run+fastq://SRR1: SRR1 is no accession of a run, experiment, sample"),
        (["-r", "s3@a@b://x/y", "ls"], "-r s3@a@b://x/y: only one account: a@b"),
        (["-o", "run+fastq://SRR1", "ls"], "-o run+fastq://SRR1: nothing can be stored by run+fastq"),
        (["-o", "/x|gunzip", "ls"], "-o /x|gunzip: an output takes no action: gunzip"),
        (["-i", "gopher://x", "ls"], "-i gopher://x: unknown scheme gopher"),
        (["-i", "/x|fold", "ls"], "-i /x|fold: unknown action fold"),
        (["-i", "", "ls"], "-i : empty path"),
        (["-o", "", "ls"], "-o : empty path"),
        (["-i", "/a/x", "-i", "/b/x", "ls"], "-i /b/x: its name is that of /a/x, and both would be $INPUT/x"),
        (["-b", "\udcff", "ls"], "-b/--batch: not valid UTF-8"),
        (["-i", "\udcff", "ls"], "-i/--input: not valid UTF-8"),
        (["--retry", "-1", "ls"], "--retry: negative number: -1"),
        (["--cpu", "0", "ls"], "--cpu 0: give cores, above 0"),
        (["--mem", "1M", "ls"], "--mem "),
        (["--mem", "16GB", "ls"], "--mem: not a size: '16GB' (bytes, or with K, M, G or T: 64M, 1.5G; or none)"),
        (["--gpu", "1.5", "ls"], "--gpu 1.5: give a whole number of GPUs, or a share of one as in 0.5"),
        (["--disk", "0", "ls"], "--disk 0: give bytes above 0"),
        (["-d", "x", "-O", "--gpus all", "--gpu", "1", "ls"], "--gpu and -O '--gpus …' contradict each other"),
        (["-n", "x", "-n", "y", "ls"], "-n/--name: given twice"),
        (["-n\n", "-n", "y", "ls"], "-n/--name: given twice"),
        (["--nonsense\n", "ls"], "unknown option: --nonsense\\n"),
    ],
)
def test_what_cannot_work_is_refused_in_one_line(
    words: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = shown(capsys, *words)

    assert (code, out) == (2, "")
    assert err.startswith(f"scitq: {told}")
    assert err.count("\n") == 1


def test_a_folder_and_an_archive_may_bring_any_name(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["-t", "-i", "/a/", "-i", "/b/", "-i", "/c/x.tar|untar", "-i", "/d/x.tar|untar", "ls"]

    assert shown(capsys, *words)[0] == 0


def test_no_server_is_told_within_three_seconds(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, out, err = shown(capsys, "true")

    assert (code, out) == (1, "")
    assert err.startswith(f"scitq: nothing answers at ipc://{tmp_path}/nobody.sock")
    assert err.count("\n") == 1
