"""What nvidia-smi and rocm-smi answer, as it was recorded, and what is made of it."""

import os
import time
from pathlib import Path

import pytest

from scitq.node.gpu_tools import Untold, amd, detect, nvidia
from scitq.node.gpus import Device

GIB = 1 << 30

# nvidia-smi 535 and 440; memory that is the machine's own (GB10, Grace, Jetson) is told as [N/A].
TWO = """\
0, GPU-c7b57be0-94ff-d352-a59b-d0ee00aeed43, Quadro RTX 4000, 8192
1, GPU-d6de6afc-bdfe-75c4-5273-0544439153fc, Quadro RTX 4000, 8192
"""
FOUR = """\
0, GPU-513536b6-7d19-9063-b049-1e69664bb298, NVIDIA A100-SXM4-80GB, 81920
1, GPU-d8594bd4-0fc3-8595-e355-7c98138f3b95, NVIDIA A100-SXM4-80GB, 81920
2, GPU-5e375e7e-b41f-155b-dcdc-534524c356fc, NVIDIA A100-SXM4-80GB, 81920
3, GPU-69ec2344-ebac-b028-f88f-452abb3d7f11, NVIDIA A100-SXM4-80GB, 81920
"""
UNIFIED = "0, GPU-2dee1e25-b3b5-007e-2b55-79f2d0f2ebe5, NVIDIA GB10, [N/A]\n"

# rocm-smi of ROCm 5: other spellings, no node.
ROCM_5 = """\
{"card0": {"GPU ID": "0x7408", "Unique ID": "0x1bd1c1a5d6b1ae1c", "PCI Bus": "0000:C9:00.0",
 "VRAM Total Memory (B)": "68702699520", "VRAM Total Used Memory (B)": "10960896",
 "Card series": "AMD INSTINCT MI200 (MCM) OAM LC MBA HPE C2", "Card model": "FirePro W4300",
 "Card vendor": "Advanced Micro Devices, Inc. [AMD/ATI]", "Card SKU": "D65201"},
 "card1": {"GPU ID": "0x7408", "Unique ID": "0xbd1c1a5d6b1ae1c", "PCI Bus": "0000:D1:00.0",
 "VRAM Total Memory (B)": "68702699520", "VRAM Total Used Memory (B)": "10960896",
 "Card series": "N/A", "Card model": "0x7408", "Card vendor": "Advanced Micro Devices, Inc. [AMD/ATI]"},
 "system": {"Driver version": "5.16.9.22.20"}}
"""
# rocm-smi of ROCm 6 and 7: the order of the nodes is not that of the cards; a card asleep is warned of first.
ROCM_7 = """\

WARNING: AMD GPU device(s) is/are in a low-power state. Check power control/runtime_status

{"card0": {"Device Name": "Navi 21 [Radeon RX 6800/6800 XT / 6900 XT]", "Device ID": "0x73bf", "Device Rev": "0xc1",
 "Subsystem ID": "0x2406", "GUID": "45534", "Unique ID": "0x92461d2a3b4c5d6e", "PCI Bus": "0000:03:00.0",
 "VRAM Total Memory (B)": "17163091968", "VRAM Total Used Memory (B)": "692142080",
 "Card Series": "Navi 21 [Radeon RX 6800/6800 XT / 6900 XT]", "Card Model": "0x73bf",
 "Card Vendor": "Advanced Micro Devices, Inc. [AMD/ATI]", "Node ID": "2", "GFX Version": "gfx1030"},
 "card1": {"Device Name": "Raphael", "Device ID": "0x164e", "Device Rev": "0xc6", "Subsystem ID": "0x364e",
 "GUID": "52156", "Unique ID": "N/A", "PCI Bus": "0000:19:00.0", "VRAM Total Memory (B)": "67108864",
 "VRAM Total Used Memory (B)": "26079232", "Card Series": "Raphael", "Card Model": "0x164e",
 "Card SKU": "RAPHAEL", "Node ID": "1", "GFX Version": "gfx1036"}}
"""


def nodes(root: Path, **buses: int) -> Path:
    """A `/sys` in which these places of the bus (written with underscores) have these render nodes."""
    for bus, minor in buses.items():
        (root / f"sys/bus/pci/devices/0000:{bus[1:]}:00.0/drm/renderD{minor}").mkdir(parents=True)
    return root


def program(folder: Path, name: str, script: str) -> None:
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def command_line(process: Path) -> bytes:
    try:
        return (process / "cmdline").read_bytes()
    except OSError:  # gone meanwhile
        return b""


def test_each_gpu_of_nvidia_is_told_with_its_memory() -> None:
    assert nvidia(TWO, {}) == [
        Device(0, "GPU-c7b57be0-94ff-d352-a59b-d0ee00aeed43", "Quadro RTX 4000", 8 * GIB, "nvidia"),
        Device(1, "GPU-d6de6afc-bdfe-75c4-5273-0544439153fc", "Quadro RTX 4000", 8 * GIB, "nvidia"),
    ]
    assert [(one.name, one.memory) for one in nvidia(UNIFIED, {})] == [("NVIDIA GB10", 0)]


@pytest.mark.parametrize(
    "told",
    [
        "No devices were found",
        "Failed to initialize NVML: Driver/library version mismatch\nNVML library version: 535.183",
        "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver. Make sure that …\n\n",
        "Unable to determine the device handle for GPU 0000:02:00.0: GPU is lost.  Reboot the system to …",
        '"no, quote ends',
    ],
)
def test_what_is_no_gpu_is_told_as_it_was_said(told: str) -> None:
    with pytest.raises(Untold, match="^" + told[:25]):
        nvidia(told, {})


@pytest.mark.parametrize(
    "complaint",
    [
        "Unable to determine the device handle for GPU0000:65:00.0: Unknown Error",
        "1, [GPU is lost], [GPU is lost], [GPU is lost]",
        "1, [Unknown Error], NVIDIA A30, 24576",
    ],
)
def test_a_lost_gpu_does_not_take_the_others_along(complaint: str, capsys: pytest.CaptureFixture[str]) -> None:
    lines = FOUR.splitlines()
    assert [one.number for one in nvidia("\n".join([lines[0], complaint, *lines[2:]]), {})] == [0, 2, 3]
    assert f"nvidia-smi: {complaint}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("listed", "left"),
    [
        ("0,1,2,3", [0, 1, 2, 3]),
        ("2,3", [2, 3]),
        (" 3 , 1", [3, 1]),
        ("1,1", [1]),
        ("GPU-5e375e7e-b41f-155b-dcdc-534524c356fc,GPU-d859", [2, 1]),
        ("GPU-5", []),  # the beginning of two
        ("1,7,2", [1]),  # CUDA reads no further either
        ("-1", []),
        ("", []),
        ("NoDevFiles", []),  # Slurm, for a job without GPUs
        ("MIG-ce861fb0-a248-58ce-a9a8-f9adbc22a66a", []),
    ],
)
def test_what_a_job_of_slurm_may_not_use_is_given_to_no_task(
    listed: str, left: list[int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert [one.number for one in nvidia(FOUR, {"CUDA_VISIBLE_DEVICES": listed})] == left
    said = f"CUDA_VISIBLE_DEVICES={listed} leaves {len(left)} of 4 GPUs to tasks"
    assert (said in capsys.readouterr().err) == (len(left) < 4)


def test_cards_of_amd_by_an_older_rocm(tmp_path: Path) -> None:
    root = nodes(tmp_path, _c9=128, _d1=129)
    assert amd(ROCM_5, {}, root, 0) == [
        Device(
            0, "GPU-1bd1c1a5d6b1ae1c", "AMD INSTINCT MI200 (MCM) OAM LC MBA HPE C2", 68702699520, "amd",
            "/dev/dri/renderD128",
        ),
        Device(1, "GPU-0bd1c1a5d6b1ae1c", "0x7408", 68702699520, "amd", "/dev/dri/renderD129"),
    ]  # fmt: skip


def test_cards_of_amd_are_counted_as_the_runtime_counts_them(tmp_path: Path) -> None:
    found = amd(ROCM_7, {}, nodes(tmp_path, _03=128, _19=129), 4)
    assert [(one.number, one.id, one.name, one.path) for one in found] == [
        (4, "0", "Raphael", "/dev/dri/renderD129"),  # without a unique id its place is what it is called by
        (5, "GPU-92461d2a3b4c5d6e", "Navi 21 [Radeon RX 6800/6800 XT / 6900 XT]", "/dev/dri/renderD128"),
    ]


def test_parts_of_one_card_that_share_an_id_are_called_by_their_places(tmp_path: Path) -> None:
    told = ROCM_5.replace("0xbd1c1a5d6b1ae1c", "0x1bd1c1a5d6b1ae1c")
    assert [one.id for one in amd(told, {}, nodes(tmp_path, _c9=128, _d1=129), 0)] == ["0", "1"]


@pytest.mark.parametrize(
    ("environ", "left"),
    [
        ({"ROCR_VISIBLE_DEVICES": "1"}, [1]),
        ({"ROCR_VISIBLE_DEVICES": "GPU-92461d2a3b4c5d6e,0"}, [1, 0]),
        ({"ROCR_VISIBLE_DEVICES": "1", "HIP_VISIBLE_DEVICES": "0"}, [1]),
        ({"ROCR_VISIBLE_DEVICES": "1", "HIP_VISIBLE_DEVICES": "1"}, []),
        ({"HIP_VISIBLE_DEVICES": "0"}, [0]),
        ({"CUDA_VISIBLE_DEVICES": ""}, [0, 1]),
    ],
)
def test_what_the_environment_hides_of_amd(tmp_path: Path, environ: dict[str, str], left: list[int]) -> None:
    assert [one.number for one in amd(ROCM_7, environ, nodes(tmp_path, _03=128, _19=129), 0)] == left


def test_a_card_without_a_file_is_given_to_no_task(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert [one.number for one in amd(ROCM_5, {}, nodes(tmp_path, _d1=129), 0)] == [1]
    assert "card0, which has no file in /dev/dri" in capsys.readouterr().err


@pytest.mark.parametrize(
    "told",
    [
        "ERROR:root:Driver not initialized (amdgpu not found in modules)",
        "WARNING: No JSON data to report",
        "{broken",
        '{"card0": []}',
        '{"card0": {"Node ID": "what"}}',
        "[1]",
    ],
)
def test_what_is_no_card_of_amd_is_told_as_it_was_said(told: str, tmp_path: Path) -> None:
    with pytest.raises(Untold) as problem:
        amd(told, {}, tmp_path, 0)
    assert str(problem.value) == told


def test_nothing_is_said_where_there_is_no_gpu(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert detect(tmp_path, {"PATH": ""}) == ()
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("trace", ["dev/nvidia0", "dev/kfd"])
def test_a_gpu_without_its_program_is_said(tmp_path: Path, trace: str, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "dev").mkdir()
    (tmp_path / trace).touch()
    assert detect(tmp_path, {"PATH": ""}) == ()
    assert f"/{trace} is here, but that program is not" in capsys.readouterr().err


def test_gpus_of_both_makers_have_different_numbers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    nodes(tmp_path, _03=128, _19=129)
    program(tmp_path / "bin", "nvidia-smi", f'test "$1 $2" = "{NVIDIA_ASKED}" && cat <<E\n{TWO}E')
    program(tmp_path / "bin", "rocm-smi", f"cat <<E\n{ROCM_7}E\nexit 2")
    found = detect(tmp_path, {"PATH": f"{tmp_path}/bin:/bin"})
    assert [(one.number, one.maker) for one in found] == [(0, "nvidia"), (1, "nvidia"), (2, "amd"), (3, "amd")]
    assert "scitq node: GPU 0: Quadro RTX 4000, 8.0 GiB\n" in capsys.readouterr().err


NVIDIA_ASKED = "--query-gpu=index,uuid,name,memory.total --format=csv,noheader,nounits"


@pytest.mark.parametrize(
    ("script", "told"),
    [
        ("echo No devices were found; exit 6", "No devices were found"),
        ("echo Failed to initialize NVML: Unknown Error >&2; exit 255", "Failed to initialize NVML: Unknown Error"),
        ("exit 12", "it said nothing, and ended with exit code 12"),
        ("printf '\\377\\n'", "\ufffd"),
    ],
)
def test_a_program_that_fails_costs_a_line(
    tmp_path: Path, script: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    program(tmp_path / "bin", "nvidia-smi", script)
    assert detect(tmp_path, {"PATH": f"{tmp_path}/bin:/bin"}) == ()
    assert f"nvidia-smi tells of no GPU, so tasks are given none: {told}\n" in capsys.readouterr().err


def test_a_driver_that_hangs_costs_a_line_and_leaves_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    program(tmp_path / "bin", "nvidia-smi", f"trap '' TERM INT HUP\nsh -c 'sleep 1000; :' {tmp_path}")
    assert detect(tmp_path, {"PATH": f"{tmp_path}/bin:/bin"}, patience=0.5) == ()
    assert "it does not answer within 0.5 s" in capsys.readouterr().err
    deadline = time.monotonic() + 20
    while any(os.fsencode(tmp_path) in command_line(one) for one in Path("/proc").glob("[0-9]*")):
        assert time.monotonic() < deadline


def test_a_program_that_cannot_be_started_costs_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    program(tmp_path / "bin", "nvidia-smi", "")
    (tmp_path / "bin/nvidia-smi").write_bytes(b"\x7fELF, of another machine")
    assert detect(tmp_path, {"PATH": f"{tmp_path}/bin"}) == ()
    assert "it cannot be started: " in capsys.readouterr().err
