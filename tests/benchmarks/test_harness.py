"""Figures mean what they say: spreads, ratios of neighbours, and a machine that was busy."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from benchmarks.harness import EagerBaseline, Interleaved, Spread, chip, fix_seed, interleaved, repeated, store
from edge.profiling import background_load
from edge.profiling.background_load import BackgroundLoad
from edge.profiling.ceilings import Ceilings

CPU = torch.device("cpu")
CEILINGS = Ceilings(read=1e10, copy=2e10, bf16=None, fp32=1e12, int8=2e12)


def test_a_spread_is_that_of_known_numbers() -> None:
    spread = Spread.of(list(range(1, 102)))
    assert (spread.median, spread.p90, spread.p99, spread.n) == (51, 91, 100, 101)
    assert spread.relative == pytest.approx(50 / 51)


def test_one_measurement_has_no_spread() -> None:
    assert Spread.of([3.0]) == Spread(3.0, 3.0, 3.0, None, 1)


def test_things_take_turns_after_a_warm_up() -> None:
    calls: list[str] = []
    times = interleaved({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, 3, CPU)
    assert "".join(calls) == "ab" + "ababab"
    assert {name: len(seconds) for name, seconds in times.seconds.items()} == {"a": 3, "b": 3}


def test_a_thing_by_itself_is_repeated() -> None:
    assert repeated(lambda: None, 5, CPU).n == 5


def test_ratios_are_those_of_neighbours_while_the_machine_slows_down() -> None:
    """Medians of each by itself would be right here by luck only: the machine gets ten times slower."""
    drift = [1.0, 1.5, 4.0, 10.0]
    times = Interleaved({"slow": [3 * d for d in drift], "quick": drift})
    assert times.ratio("slow", "quick") == Spread(3.0, 3.0, 3.0, 0.0, 4)


def test_whole_periods_are_summed() -> None:
    times = Interleaved({"ours": [1.0, 3.0, 1.0, 5.0], "theirs": [8.0, 8.0, 9.0, 9.0]})
    assert times.by(2).seconds == {"ours": [4.0, 6.0], "theirs": [16.0, 18.0]}
    assert times.by(2).ratio("theirs", "ours").median == pytest.approx(3.5)
    with pytest.raises(ValueError, match="no multiple"):
        times.by(3)


@pytest.mark.parametrize("own, others, is_busy", [(4.0, 0.1, False), (1.0, 0.4, True), (9.0, 0.0, False)])
def test_what_others_took_marks_a_result(own: float, others: float, is_busy: bool) -> None:
    """Ten seconds of all cores pass, five of them in use, one of these stolen by the host."""
    with BackgroundLoad(lines((0, 0, 0, 0), (4, 4, 1, 1)), seconds(0.0, own)) as busy:
        assert busy.others is None
    assert busy.others == pytest.approx(others)
    assert busy.is_busy == is_busy
    assert ("BUSY" in str(busy)) == is_busy


def test_a_system_that_does_not_tell_is_not_called_idle() -> None:
    with BackgroundLoad(lambda: None) as busy:
        pass
    assert busy.to_dict() == {"others": None, "busy": False}
    assert str(busy) == "others unknown"


def test_a_result_is_written_and_is_the_last_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with BackgroundLoad() as busy:
        figures = {"rows": [{"ratio": Spread.of([2.0, 4.0]).to_dict()}]}
    baseline = config("sdpa", "sdpa")
    stored = store("some", figures, ceilings=CEILINGS, busy=busy, baseline=baseline, folder=tmp_path / "new")
    printed = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert printed == stored == json.loads((tmp_path / "new" / "some.json").read_text())
    assert stored["rows"] == figures["rows"]
    assert stored["ceilings"]["fp32"] == 1e12
    assert stored["baseline_attention"] == {"model": "sdpa", "vision": "sdpa"}
    assert {"date", "command", "seed", "others", "busy"} <= stored.keys()
    assert "commit" in stored["machine"]


def test_a_busy_result_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with BackgroundLoad(lines((0, 0, 0, 0), (5, 5, 0, 0)), seconds(0.0, 1.0)) as busy:
        pass
    assert store("some", {}, ceilings=CEILINGS, busy=busy, folder=tmp_path)["busy"]
    assert "others 40% BUSY" in capsys.readouterr().err


@pytest.mark.parametrize("model, vision", [("eager", "sdpa"), ("sdpa", "eager")])
def test_a_baseline_with_eager_attention_is_refused(model: str, vision: str, tmp_path: Path) -> None:
    with pytest.raises(EagerBaseline, match="sdpa"):
        store("some", {}, ceilings=CEILINGS, busy=BackgroundLoad(), baseline=config(model, vision), folder=tmp_path)
    assert not list(tmp_path.iterdir())


def test_what_json_cannot_say_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError):
        store("some", {"ratio": float("inf")}, ceilings=CEILINGS, busy=BackgroundLoad(), folder=tmp_path)


def test_the_same_seed_every_time() -> None:
    fix_seed()
    first = torch.rand(3)
    fix_seed()
    assert torch.equal(first, torch.rand(3))


def config(model: str, vision: str) -> Any:
    return SimpleNamespace(_attn_implementation=model, vision_config=SimpleNamespace(_attn_implementation=vision))


def lines(*moments: tuple[int, int, int, int]) -> Callable[[], str]:
    """/proc/stat at one moment after the other: seconds of user, idle, and stolen time, and of waiting for a disk."""
    tick = os.sysconf("SC_CLK_TCK")
    text = [
        f"cpu  {user * tick} 0 0 {idle * tick} {wait * tick} 0 0 {stolen * tick} 7 7\ncpu0 1 2 3\n"
        for user, idle, stolen, wait in moments
    ]
    return iter(text).__next__


def seconds(*moments: float) -> Callable[[], float]:
    remaining: Iterator[float] = iter(moments)
    return remaining.__next__


def test_a_system_without_proc_is_read_as_unknown(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(background_load, "STAT", tmp_path / "stat")
    assert background_load.read_stat() is None


def test_a_run_that_goes_on_stores_what_it_has_and_says_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with BackgroundLoad() as busy:
        store("it", {"rows": [1]}, ceilings=CEILINGS, busy=busy, folder=tmp_path, is_last=False)

    assert json.loads((tmp_path / "it.json").read_text())["rows"] == [1]
    assert capsys.readouterr().out == ""


def test_a_chip_has_a_name_for_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "NVIDIA RTX 4060 (Ti)")

    assert chip(torch.device("cuda")) == "nvidia-rtx-4060-ti" and chip(torch.device("cpu")) == "cpu"
