"""Which task has which GPU, and how it is told."""

from random import Random

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from scitq.needs import ALL_GPUS
from scitq.node.gpus import EXACT, Assignments, Device, container_names, variables


def card(number: int) -> Device:
    return Device(number, f"GPU-{number:04}", "a card", 1 << 34, "nvidia")


def amd(number: int, id_: str) -> Device:
    return Device(number, id_, "a card", 1 << 34, "amd", f"/dev/dri/renderD{128 + number}")


def numbers(devices: tuple[Device, ...]) -> list[int]:
    return [one.number for one in devices]


def test_whole_ones_are_given_one_by_one() -> None:
    held = Assignments([card(number) for number in range(4)])
    assert numbers(held.take("1.1", 1)) == [0]
    assert numbers(held.take("2.1", 2)) == [1, 2]
    assert (held.fits(1), held.fits(2), held.fits(0)) == (True, False, True)
    held.give_back("1.1")
    assert numbers(held.take("3.1", 2)) == [0, 3]
    assert not held.fits(1e-12)


def test_shares_are_given_of_the_fullest_that_has_room() -> None:
    held = Assignments([card(number) for number in range(3)])
    assert numbers(held.take("whole", 1)) == [0]
    assert numbers(held.take("a", 0.5)) == [1]
    assert numbers(held.take("b", 0.6)) == [2]
    assert numbers(held.take("c", 0.3)) == [2]
    assert numbers(held.take("d", 0.5)) == [1]
    assert not held.fits(0.2)
    held.give_back("whole")
    assert held.fits(1)
    assert not held.fits(ALL_GPUS)


def test_of_two_as_full_the_first_is_shared() -> None:
    held = Assignments([card(0), card(1)])
    held.take("a", 0.7)
    held.take("b", 0.7)
    assert numbers(held.take("c", 0.3)) == [0]


def test_tenths_fill_a_whole_one() -> None:
    held = Assignments([card(0)])
    for number in range(10):
        assert held.fits(0.1), number
        held.take(str(number), 0.1)
    assert not held.fits(1e-6)


def test_all_of_them_are_there_and_free_or_none_is_given() -> None:
    held = Assignments([card(2), card(5)])
    held.take("a", 0.5)
    assert not held.fits(ALL_GPUS)
    held.give_back("a")
    assert numbers(held.take("all", ALL_GPUS)) == [2, 5]
    assert not held.fits(0.5)
    assert not Assignments([]).fits(ALL_GPUS)


def test_who_asks_for_none_has_none() -> None:
    held = Assignments([card(0)])
    assert held.take("a", 0.0) == ()
    assert held.fits(ALL_GPUS)
    held.give_back("a")
    held.give_back("never seen")


def test_what_was_had_before_a_restart_is_taken_once_it_is_known() -> None:
    devices: list[Device] = []
    held = Assignments(devices)
    held.hold("a", 1, (1,))
    assert not held.fits(1)
    devices += map(card, range(2))  # the driver took its time
    assert not held.fits(2)
    assert numbers(held.take("b", 1)) == [0]
    held.give_back("a")
    assert numbers(held.take("c", 0.5)) == [1]


def test_a_gpu_that_is_gone_after_a_restart_is_nobodys() -> None:
    held = Assignments([card(1)])
    held.hold("a", 1, (0,))
    assert held.fits(ALL_GPUS)


def test_commands_are_told_numbers_in_the_order_of_nvidia_smi() -> None:
    assert variables([card(3), card(1)]) == {
        "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
        "CUDA_VISIBLE_DEVICES": "3,1",
        "NVIDIA_VISIBLE_DEVICES": "GPU-0003,GPU-0001",
    }
    assert variables([]) == {}


def test_one_variable_says_it_for_amd() -> None:
    assert variables([amd(0, "GPU-1bd1"), amd(2, "2")]) == {"ROCR_VISIBLE_DEVICES": "GPU-1bd1,2"}


def test_containers_are_given_devices_by_name_or_file() -> None:
    assert container_names([card(3), card(1)]) == ["nvidia.com/gpu=GPU-0003", "nvidia.com/gpu=GPU-0001"]
    assert container_names([amd(0, "0"), amd(1, "1")]) == ["/dev/kfd", "/dev/dri/renderD128", "/dev/dri/renderD129"]
    assert container_names([]) == []


ASKED = st.one_of(st.integers(0, 3).map(float), st.just(ALL_GPUS), st.sampled_from([0.1, 0.25, 0.3, 0.5, 0.9]))


class Worker(RuleBasedStateMachine):
    """Attempts that come, go and outlive the agent."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0
        self.held: dict[str, tuple[float, tuple[Device, ...]]] = {}

    @initialize(count=st.integers(0, 4))
    def start(self, count: int) -> None:
        self.devices = tuple(map(card, range(count)))
        self.assignments = Assignments(self.devices)

    @rule(gpu=ASKED)
    def take(self, gpu: float) -> None:
        self.count += 1
        name = f"{self.count}.1"
        if not self.assignments.fits(gpu):
            with pytest.raises(AssertionError):
                self.assignments.take(name, gpu)
            return
        given = self.assignments.take(name, gpu)
        expected = len(self.devices) if gpu == ALL_GPUS else 1 if 0 < gpu < 1 else gpu
        assert len(set(given)) == len(given) == expected
        self.held[name] = gpu, given

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def give_back(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.held)))
        self.assignments.give_back(name)
        del self.held[name]

    @rule(gpu=ASKED, order=st.randoms(use_true_random=False))
    def restart(self, gpu: float, order: Random) -> None:
        """A new agent that is told what is held, in whatever order, decides as the old one would."""
        again = Assignments(self.devices)
        names = sorted(self.held)
        order.shuffle(names)
        for name in names:
            asked, given = self.held[name]
            again.hold(name, asked, numbers(given))
        assert again.fits(gpu) == self.assignments.fits(gpu)
        if again.fits(gpu):
            assert again.take("next", gpu) == self.assignments.take("next", gpu)
            self.assignments.give_back("next")
            again.give_back("next")
        self.assignments = again

    @invariant()
    def nobody_shares_unasked(self) -> None:
        for device in getattr(self, "devices", ()):
            shares = [gpu for gpu, given in self.held.values() if device in given]
            assert len(shares) <= 1 or all(0 < share < 1 for share in shares)
            assert sum(share for share in shares if 0 < share < 1) <= 1 + EXACT

    @invariant()
    def what_is_free_is_given(self) -> None:
        taken = {device for _, given in self.held.values() for device in given}
        free = len(getattr(self, "devices", ())) - len(taken)
        if hasattr(self, "assignments"):
            assert self.assignments.fits(free)
            assert not self.assignments.fits(free + 1)


TestWorker = Worker.TestCase
TestWorker.settings = settings(max_examples=40, stateful_step_count=20, deadline=None)
