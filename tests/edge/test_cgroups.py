"""Limits of control groups, read from folders made for the test."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge.cgroups import MemoryLimit, cpu_quota, memory_limits

NONE_V1 = "9223372036854771712"  # the largest multiple of a page


class Kernel:
    """The files that a kernel shows, in a folder."""

    def __init__(self, folder: Path) -> None:
        self.root, self.membership = folder / "cgroup", folder / "self"
        self.root.mkdir()
        self.membership.write_text("")

    def member(self, *lines: str) -> None:
        self.membership.write_text("\n".join(lines) + "\n")

    def group(self, path: str, **files: str) -> None:
        folder = self.root / path
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (folder / name.replace("__", ".")).write_text(f"{text}\n")

    @property
    def quota(self) -> float | None:
        return cpu_quota(self.root, self.membership)

    @property
    def memory(self) -> list[MemoryLimit]:
        return memory_limits(self.root, self.membership)


@pytest.fixture
def kernel(tmp_path: Path) -> Kernel:
    return Kernel(tmp_path)


@pytest.mark.parametrize(
    ("text", "cpus"), [("150000 100000", 1.5), ("max 100000", None), ("nonsense", None), ("", None)]
)
def test_a_quota_of_version_2(kernel: Kernel, text: str, cpus: float | None) -> None:
    kernel.member("0::/box")
    kernel.group("box", cpu__max=text)

    assert kernel.quota == cpus


@pytest.mark.parametrize(("quota", "cpus"), [("50000", 0.5), ("-1", None), ("0", None)])
def test_a_quota_of_version_1(kernel: Kernel, quota: str, cpus: float | None) -> None:
    kernel.member("5:cpu,cpuacct:/docker/abc", "4:memory:/docker/abc")
    kernel.group("cpu,cpuacct/docker/abc", cpu__cfs_quota_us=quota, cpu__cfs_period_us="100000")

    assert kernel.quota == cpus


def test_a_controller_of_version_1_may_lie_under_its_own_name_alone(kernel: Kernel) -> None:
    kernel.member("5:cpu,cpuacct:/docker/abc")
    kernel.group("cpu/docker/abc", cpu__cfs_quota_us="250000", cpu__cfs_period_us="100000")

    assert kernel.quota == 2.5


@pytest.mark.parametrize("tight", ["", "outer", "outer/middle", "outer/middle/inner"])
def test_the_tightest_of_nested_groups_counts(kernel: Kernel, tight: str) -> None:
    kernel.member("0::/outer/middle/inner")
    for path in ("", "outer", "outer/middle", "outer/middle/inner"):
        kernel.group(path, cpu__max="100000 100000" if path == tight else "400000 100000")

    assert kernel.quota == 1.0


def test_a_container_that_does_not_see_its_own_path_has_the_limits_of_the_root(kernel: Kernel) -> None:
    kernel.member("0::/../../host/path")
    kernel.group("", cpu__max="200000 100000", memory__max="1000", memory__current="400")

    assert kernel.quota == 2.0
    assert kernel.memory == [MemoryLimit(1000, 400)]


def test_without_control_groups_nothing_limits(kernel: Kernel, tmp_path: Path) -> None:
    assert kernel.quota is None and kernel.memory == []
    assert cpu_quota(tmp_path / "no", tmp_path / "where") is None


def test_memory_that_the_kernel_would_drop_at_once_is_free(kernel: Kernel) -> None:
    kernel.member("0::/box")
    kernel.group("box", memory__max="1000", memory__current="900", memory__stat="anon 500\ninactive_file 300\nfile 400")

    assert [level.free for level in kernel.memory] == [400]


def test_memory_of_version_1_at_every_level(kernel: Kernel) -> None:
    kernel.member("4:memory:/outer/inner", "0::/")
    kernel.group("memory", memory__limit_in_bytes=NONE_V1, memory__usage_in_bytes="5000")
    kernel.group("memory/outer", memory__limit_in_bytes="2000", memory__usage_in_bytes="1500")
    kernel.group(
        "memory/outer/inner", memory__limit_in_bytes="4000", memory__usage_in_bytes="1200",
        memory__stat="inactive_file 1\ntotal_inactive_file 200",
    )  # fmt: skip

    assert kernel.memory == [MemoryLimit(4000, 1000), MemoryLimit(2000, 1500), MemoryLimit(int(NONE_V1), 5000)]


def test_a_group_that_uses_more_than_its_limit_has_nothing_left() -> None:
    assert MemoryLimit(1000, 1100).free == 0
