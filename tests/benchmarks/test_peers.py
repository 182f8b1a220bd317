"""The comparison with other engines: whoever fails, is missing or hangs is reported, and never left out."""

from __future__ import annotations

import io
import json
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file, save_file

from benchmarks.known_quality import known_quality, said
from benchmarks.peers import BASELINE, PEERS, adapter, environments
from benchmarks.peers.adapter import WARM_UP, Adapter, Unavailable, converted, measure
from benchmarks.peers.checkpoint import random_checkpoint
from benchmarks.peers.contest import Contest, Contestant
from benchmarks.peers.launch import Failed, launch
from benchmarks.peers.onnxruntime_int4 import _write_plain
from benchmarks.peers.rows import Measured, Row
from benchmarks.peers.table import notes, table
from benchmarks.peers.workload import (
    TEXT_TOKENS,
    VISUAL_TOKENS,
    Picture,
    Run,
    Times,
    picture,
    prompt_ids,
)

RUN = Run("engine", {"numpy": "2"}, "int4", "", (Times(2000.0, 900.0, 2900.0, 30.0),), 2000.0, 1500.0)


SOURCE = {"of": "the source"}
LOSS = {
    "of": "int4-g128, rtn, on pocket",
    "kl_mean": 0.003,
    "top1": 0.98,
    "object_f1_loss": 0.0,
    "mean_iou_loss": 0.0,
}


class Fake(Adapter):
    """Answers at once."""

    engine, variant, grid, packages, environment = "fake", "int0", "bfloat16", ("numpy",), None

    @classmethod
    def convert(cls, model: Path, out: Path) -> None:
        out.mkdir()
        (out / "weights").write_bytes(bytes(2_000_000))

    def __init__(self, folder: Path) -> None:
        self.seen: list[Picture] = []

    def answer(self, pixels: Picture) -> Times:
        self.seen.append(pixels)
        return Times(10.0, 5.0, 15.0, float(len(self.seen)))


class Blind(Fake):
    @classmethod
    def convert(cls, model: Path, out: Path) -> None:
        raise Unavailable("its converter does not know this model")


FAKES = {
    "swift": f"print('loading'); print({RUN.to_json()!r})",
    "slow": f"print({replace(RUN, times=(Times(4000.0, 1800.0, 5800.0, 6.0),), peak_rss_mib=4000.0).to_json()!r})",
    "broken": "import sys; sys.exit('libfast.so: cannot open shared object file')",
    "silent": "",
    "hung": "import time; time.sleep(60)",
}


@pytest.fixture
def fakes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """A registry of adapters that are programs of one line."""
    for name, code in FAKES.items():
        (tmp_path / f"fake_{name}.py").write_text(
            "import sys\n"
            "class Kind:\n    engine, variant, grid, packages, environment = 'fake', 'int4', 'int4-g128', (), None\n"
            f"if __name__ == '__main__' and '--convert' not in sys.argv:\n    {code or 'pass'}\n"
        )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return {name: f"fake_{name}:Kind" for name in FAKES}


def contest(folder: Path, said: list[str], limit: float = 30) -> Contest:
    return Contest(
        model=folder, interpreter=lambda _: Path(sys.executable), bandwidth=lambda: 40.0, logs=folder, limit=limit,
        convert_limit=30, say=said.append,
    )  # fmt: skip


def test_rounds_are_interleaved(fakes: dict[str, str], tmp_path: Path) -> None:
    said: list[str] = []
    rows = contest(tmp_path, said).hold([fakes["swift"], fakes["slow"]], rounds=2)
    rounds = [line for line in said if line.startswith("round")]
    assert [line.split("fake_")[1].split(":")[0] for line in rounds] == ["swift", "slow", "swift", "slow"]
    assert [row.n for row in rows] == [2, 2]
    assert [row.bandwidth for row in rows] == [40.0, 40.0]


def test_who_fails_is_reported_with_the_reason_and_the_others_go_on(fakes: dict[str, str], tmp_path: Path) -> None:
    names = [fakes[name] for name in ("broken", "silent", "swift")]
    broken, silent, swift = contest(tmp_path, []).hold(names, rounds=1)
    assert broken.unavailable == "libfast.so: cannot open shared object file"
    assert silent.unavailable is not None and "no result" in silent.unavailable
    assert swift.unavailable is None and swift.ttft_ms == 2900


def test_who_hangs_is_killed_with_its_children_after_the_limit(fakes: dict[str, str], tmp_path: Path) -> None:
    started = time.monotonic()
    (row,) = contest(tmp_path, [], limit=1).hold([fakes["hung"]], rounds=3)
    assert time.monotonic() - started < 20
    assert row.unavailable == "killed after 1 s without an answer"


def test_who_cannot_be_installed_is_reported(fakes: dict[str, str], tmp_path: Path) -> None:
    def no_interpreter(_: type[Adapter]) -> Path:
        raise Unavailable("cannot be installed: ERROR: No matching distribution found for fast==9")

    (row,) = replace(contest(tmp_path, []), interpreter=no_interpreter).hold([fakes["swift"]], rounds=1)
    assert row.unavailable == "cannot be installed: ERROR: No matching distribution found for fast==9"


def test_an_environment_that_cannot_be_made_says_what_pip_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "requirements-none.txt").write_text("./there-is-no-such-package\n")
    monkeypatch.setattr(environments, "HERE", tmp_path)
    with pytest.raises(Unavailable, match=r"cannot be installed: ERROR: .*there-is-no-such-package"):
        environments.interpreter("none", tmp_path)


def test_an_environment_is_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    (tmp_path / "requirements-fast.txt").write_text("fast==1\n")
    (tmp_path / "fast" / "venv").mkdir(parents=True)
    monkeypatch.setattr(environments, "HERE", tmp_path)
    monkeypatch.setattr(environments, "_install", lambda *arguments: made.append(arguments))
    for _ in range(2):
        environments.interpreter("fast", tmp_path)
    assert len(made) == 1
    (tmp_path / "requirements-fast.txt").write_text("fast==2\n")
    environments.interpreter("fast", tmp_path)
    assert len(made) == 2


def test_only_what_is_installed_is_measured_here() -> None:
    assert environments.here(("numpy",)) == Path(sys.executable)
    with pytest.raises(Unavailable, match="not installed here: no-such-engine"):
        environments.here(("numpy", "no-such-engine"))


def test_an_engine_that_fails_later_keeps_what_was_measured() -> None:
    one = Contestant("fast", "fast", Fake, measured=[Measured(RUN, 0.0, 40.0)], failure="killed")
    assert (one.row().ttft_ms, one.row().note, one.row().unavailable) == (2900, "killed", None)


def test_a_row_is_the_median_of_all_repetitions_with_its_spread() -> None:
    runs = [replace(RUN, times=(Times(None, p, None, d),)) for p, d in ((900.0, 30.0), (1000.0, 20.0), (1300.0, 40.0))]
    row = Row.of(
        "fast", [Measured(run, others, 40.0) for run, others in zip(runs, (0.0, 0.2, 0.05), strict=True)], LOSS
    )
    assert (row.prefill_ms, row.decode_tps, row.n) == (1000, 30, 3)
    assert row.spread == {"prefill_ms": (900, 1300), "decode_tps": (20, 40)}
    assert row.vision_ms is None and row.ttft_ms is None
    assert row.busy and row.others == 0.2


def test_ratios_say_how_many_times_better() -> None:
    fast = Row.of("fast", [Measured(RUN, 0.0, 40.0)], LOSS)
    slow = replace(fast, ttft_ms=5800.0, decode_tps=6.0, peak_rss_mib=1000.0)
    assert fast.ratio("ttft_ms", slow) == 2
    assert fast.ratio("decode_tps", slow) == 5
    assert fast.ratio("peak_rss_mib", slow) == 0.5
    assert fast.ratio("ttft_ms", None) is None
    assert fast.ratio("ttft_ms", replace(slow, ttft_ms=None)) is None


def test_the_table_shows_everybody_marks_busy_rows_and_gives_reasons() -> None:
    base = Row.of(BASELINE, [Measured(RUN, 0.02, 40.0)], SOURCE)
    rows = [
        base,
        replace(base, name="twice", ttft_ms=1450.0, decode_tps=60.0, others=0.4),
        Row("gone", "gone", "int4", LOSS, unavailable="cannot be installed: ERROR: none"),
    ]
    shown = io.StringIO()
    Console(file=shown, width=200).print(table(rows))
    text = shown.getvalue()
    assert "1450 2900-2900 (2.00x)" in text and "60.0 30.0-30.0 (2.00x)" in text
    assert "40% busy" in text and "2%" in text
    assert "gone" in text and "not measured" in text and "the source" in text
    assert notes(rows) == [
        "gone: not measured: cannot be installed: ERROR: none",
        "gone: such weights lose KL 0.0030, top-1 98.0%, F1 loss 0.000, IoU loss 0.000",
    ]


def test_results_survive_json() -> None:
    assert Run.from_json(RUN.to_json()) == RUN
    for row in (
        Row.of("fast", [Measured(RUN, 0.1, 40.0)], LOSS),
        Row("gone", "gone", "int4", SOURCE, unavailable="why"),
    ):
        assert Row.from_json(json.loads(json.dumps(row.to_json()))) == row
    for line in ("", "{}", '{"times": [1]}', "Loading model..."):
        with pytest.raises(ValueError):
            Run.from_json(line)


def test_pictures_are_repeatable_and_never_twice_the_same() -> None:
    assert np.array_equal(picture(3), picture(3))
    assert not np.array_equal(picture(3), picture(4))
    assert picture(0).shape == (448, 448, 3)


def test_pictures_for_warming_up_are_others() -> None:
    warming = [WARM_UP + number for number in range(4)]
    assert not any(np.array_equal(picture(number), picture(0)) for number in warming)


def test_the_plain_language_model_has_the_tensors_of_every_shard(tmp_path: Path) -> None:
    model, out = tmp_path / "model", tmp_path / "out"
    model.mkdir()
    out.mkdir()
    (model / "config.json").write_text(json.dumps({"vision_config": {}, "hidden_size": 8}))
    for shard, names in enumerate((["model.a", "visual.b"], ["model.c"])):
        save_file({name: torch.ones(2) for name in names}, model / f"model-{shard}.safetensors")
    _write_plain(model, out)
    assert set(load_file(out / "model.safetensors")) == {"model.a", "model.c"}


def test_the_prompt_has_as_many_tokens_as_it_says() -> None:
    ids = prompt_ids({"vision_start_token_id": 1, "vision_end_token_id": 2, "image_token_id": 3})
    assert (len(ids), ids.count(3)) == (VISUAL_TOKENS + TEXT_TOKENS, VISUAL_TOKENS)


def test_an_adapter_converts_once_warms_up_and_measures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adapter, "CACHE", tmp_path / "cache")
    monkeypatch.setattr(adapter, "keep_in_memory", lambda: None)
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    folder = converted(Fake, tmp_path / "model")
    assert converted(Fake, tmp_path / "model") == folder
    run = measure(Fake, folder, range(2))
    assert [times.decode_tps for times in run.times] == [2, 3]  # the first answer was the warm-up
    assert run.disk_mb == 2.0 and run.peak_rss_mib > 1
    (tmp_path / "model" / "config.json").write_text("{ }")
    assert converted(Fake, tmp_path / "model") != folder


def test_a_failed_conversion_leaves_nothing_to_be_mistaken_for_a_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adapter, "CACHE", tmp_path / "cache")
    for _ in range(2):
        with pytest.raises(Unavailable, match="does not know"):
            converted(Blind, tmp_path)


def test_a_command_killed_by_the_system_says_by_which_signal(tmp_path: Path) -> None:
    code = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    with pytest.raises(Failed, match="killed by SIGKILL"):
        launch([sys.executable, "-c", code], 30, tmp_path / "log")


@pytest.mark.parametrize("name", PEERS)
def test_every_adapter_can_be_listed_without_its_engine(name: str) -> None:
    entered = Contestant.enter(name)
    assert issubclass(entered.adapter, Adapter)
    assert entered.adapter.engine and entered.adapter.variant and entered.adapter.packages
    assert "not measured" not in said(known_quality(entered.adapter.grid))
    if entered.adapter.environment is not None:
        assert (environments.HERE / f"requirements-{entered.adapter.environment}.txt").exists()


def test_the_random_checkpoint_is_written_once_and_takes_a_tokenizer(tmp_path: Path, qwen2_tokenizer: Path) -> None:
    folder = random_checkpoint(tmp_path, qwen2_tokenizer, shape="pocket")
    config = json.loads((folder / "config.json").read_text())
    assert config["image_token_id"] == 151655 and config["vision_start_token_id"] == 151652
    assert (folder / "merges.txt").exists() and not (tmp_path / f"{folder.name}.partial").exists()
    assert random_checkpoint(tmp_path, qwen2_tokenizer, shape="pocket") == folder
