"""`edge profile` and `edge plan` as a user types them."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from edge_command import run

import edge
from edge.cli.terminal import MODEL_FAILED, OUT_OF_MEMORY, QUESTION_FAILED, USAGE
from edge.commands.plan import UNIT, forecast_for, read_amounts
from edge.models.architecture import parameter_shapes, read_config
from edge.models.random import write_random_folder
from edge.planning.forecast import Workload
from edge.profiling import profile as profiling
from edge.profiling.figures import downsampled

SHORT = ("--window", 2, "--answer-tokens", 8, "--live", 1)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("reports") / "pocket.json"
    with pytest.MonkeyPatch.context() as patch, path.open("w") as out:
        patch.setattr(sys, "stdout", out)
        assert run(patch, "profile", "--model", "pocket", *SHORT, "--json") == 0
    return path


@pytest.fixture
def found(report: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(report.read_text())
    return loaded


def test_every_step_from_decoding_to_publishing_is_measured(found: dict[str, Any]) -> None:
    stages = {stage["name"]: stage for stage in found["stages"]}

    assert set(stages) == {
        "decode", "sample and resize", "patchify", "vision tower", "prefix", "append", "question", "token",
        "time to first token", "parse", "publish", "capture to event",
    }  # fmt: skip
    assert all(0 < stage["p50"] <= stage["p90"] <= stage["p99"] for stage in stages.values())
    assert stages["token"]["n"] == 2 * 7 and stages["vision tower"]["n"] == 2


def test_what_depends_on_size_is_measured_at_another_one_too(found: dict[str, Any]) -> None:
    other = found["other_size"]

    assert {stage["name"] for stage in other["stages"]} == {"vision tower", "append"}
    assert 0 < math.prod(other["size"]) < math.prod(found["size"])


def test_quantized_weights_are_not_profiled_where_so_few_tokens_take_another_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    engine = edge.random_model("pocket", variant="int4", device="cpu").engine

    assert profiling._other_pixels(448 * 448, engine) == 448 * 448 // 2
    assert profiling._other_pixels(280 * 280, engine) == 2 * 280 * 280
    assert profiling._other_pixels(280 * 280, edge.load("pocket").engine) == 280 * 280 // 2


def test_the_downsampled_timeline_keeps_its_peak() -> None:
    points = [[float(index), 1.0] for index in range(1201)]
    points[701][1] = 9.0

    found = downsampled(points)

    assert len(found) <= 500 and [701.0, 9.0] in found


def test_the_parts_of_an_answer_are_no_longer_than_the_whole(found: dict[str, Any]) -> None:
    total = {stage["name"]: stage["total"] for stage in found["stages"]}
    parts = ("patchify", "vision tower", "prefix", "append", "question", "token", "parse", "publish")

    assert sum(total[name] for name in parts) <= total["capture to event"]
    assert total["question"] <= total["time to first token"]


def test_nothing_is_faster_than_its_floor_would_allow_by_much(found: dict[str, Any]) -> None:
    shares = [stage["share_of_ceiling"] for stage in found["stages"] if "share_of_ceiling" in stage]

    assert shares and all(0 < share < 2 for share in shares)  # a ceiling on a shared machine may be low by chance


def test_memory_is_predicted_and_measured(found: dict[str, Any]) -> None:
    predicted, measured = found["memory"]["predicted"], found["memory"]["measured"]

    assert predicted["weights"] == measured["weights"]  # of a model that is not quantized, to the byte
    assert measured["total"] == measured["overhead"] + measured["weights"] + measured["kv_and_activations"]
    assert len(found["memory"]["timeline"]) > 5


def test_a_live_camera_gives_an_age_and_energy_a_reason(found: dict[str, Any]) -> None:
    assert found["live"]["answers"] > 0 and found["live"]["age_p50"] > 0
    assert found["energy"]["not_measured"]
    assert found["machine"]["cpu"] and found["ceilings"]["read"] > 0


def test_people_get_tables_a_page_and_a_trace(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    page, trace = tmp_path / "report.html", tmp_path / "trace.json"

    assert run(monkeypatch, "profile", "--model", "random:pocket", "--variant", "int4", *SHORT,
               "--html", page, "--trace", trace) == 0  # fmt: skip

    said = capsys.readouterr()
    assert "GFLOP/s" in said.err  # nothing is cut off at 80 columns
    assert said.out == "" and "vision tower" in said.err and "int4-g128+int8-channel" in said.err
    assert page.read_text().lower().startswith("<!doctype html>")
    assert json.loads(trace.read_text())["traceEvents"]


def test_two_reports_can_be_compared(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], report: Path
) -> None:
    assert run(monkeypatch, "profile", "--compare", report, report, "--json") == 0

    changes = json.loads(capsys.readouterr().out)["changes"]
    assert changes and all(change["verdict"] == "same" for change in changes)


def test_a_plan_like_a_profile_predicts_what_was_measured(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], report: Path, found: dict[str, Any]
) -> None:
    assert run(monkeypatch, "plan", "--model", "pocket", "--like", report, "--size", "168x112", "--window", 2,
               "--answer-tokens", 8, "--json") == 0  # fmt: skip

    planned = json.loads(capsys.readouterr().out)
    stages = {stage["name"]: stage for stage in found["stages"]}
    assert planned["vision"] == pytest.approx(stages["vision tower"]["p50"], rel=1e-6)  # the same step: inverted
    assert planned["token"] == pytest.approx(stages["token"]["p50"], rel=0.2)


def test_a_plan_like_a_profile_is_of_its_model_and_says_where_it_comes_from(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], report: Path
) -> None:
    assert run(monkeypatch, "plan", "--like", report, "--json") == 0
    planned = json.loads(capsys.readouterr().out)
    assert planned["model"] == "pocket" and "other weights" not in planned["source"]

    assert run(monkeypatch, "plan", "--like", report, "--model", "random:pocket", "--variant", "int4", "--json") == 0
    assert "other weights, so expect it to be far off" in json.loads(capsys.readouterr().out)["source"]


def test_int8_operations_alone_are_enough_of_a_device(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "plan", "--memory", "8GB", "--bandwidth", "272GB/s", "--int8-tops", "121T", "--json") == 0

    planned = json.loads(capsys.readouterr().out)
    assert planned["vision"] > 0 and "assumed" in planned["source"]


def test_people_get_the_plan_as_a_table(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(monkeypatch, "plan", "--variant", "int4", "--memory", "8GB", "--bandwidth", "272GB/s",
               "--tflops", "60T", "--int8-tops", "121T", "--cameras", 2) == 0  # fmt: skip

    said = capsys.readouterr().err
    assert "2 cameras, 448x448" in said and "cameras at most" in said and "of 8 GB" in said
    assert said.startswith("not measured:") and "assumed" in said.splitlines()[0]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--device", "xeon-2", "--size", "112x112", "--fps", 0.5), "with --every"),
        (("--device", "xeon-2", "--size", "1120x1120", "--fps", 8), "would help"),
        (("--device", "rtx-4060", "--memory", "1GB", "--every", 60), "memory is too small"),
    ],
)
def test_no_camera_at_all_is_explained(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: tuple[object, ...], says: str
) -> None:
    assert run(monkeypatch, "plan", "--variant", "int4", *words) == 0

    said = " ".join(capsys.readouterr().err.split())
    assert "cameras at most │ 0" in said and says in said


def test_what_was_measured_of_a_plan_is_said_first(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], report: Path
) -> None:
    assert run(monkeypatch, "plan", "--like", report) == 0

    first = capsys.readouterr().err.splitlines()[0]
    assert "was measured" in first and str(report) in first


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("profile", "--model", "pocket", "--variant", "int4"), MODEL_FAILED, "for random weights"),
        (("profile", "--model", "random:9b"), MODEL_FAILED, "no shape of random weights"),
        (("profile", "--model", "/no/such/folder"), MODEL_FAILED, "no folder"),
        (("profile", "--device", "cuda:9"), MODEL_FAILED, "cannot be used"),
        (("profile", "--compare", "/a.json", "/b.json"), QUESTION_FAILED, "is no report"),
        (("profile", "--html", "/no/such/folder/page.html"), USAGE, "its folder is not there"),
        (("profile", "--trace", "/no/such/folder/trace.json"), USAGE, "its folder is not there"),
        (("profile", "--clip", "/no/such/clip.mp4"), USAGE, "there is no such file"),
        (("profile", "--model", str(Path(__file__).parent)), MODEL_FAILED, "config.json"),
        (("profile", "--fps", "0"), USAGE, "fps is 0.0: it must be above 0"),
        (("profile", "--fps", "60"), USAGE, "at most 25 for the drawn clip"),
        (("plan", "--device", "h200", "--fps", "0"), USAGE, "fps is 0.0: it must be above 0"),
        (("plan",), USAGE, "Which device?"),
        (("plan", "--device", "rtx-1"), USAGE, "not on file; there are rtx-3060"),
        (("plan", "--device", "rtx-4060", "--memory", "8 apples"), USAGE, "no amount of B"),
        (("plan", "--device", "rtx-4060", "--size", "450x450"), USAGE, "multiples of 28"),
        (("plan", "--like", "/no.json"), QUESTION_FAILED, "is no report"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], code: int, says: str
) -> None:
    assert run(monkeypatch, *words) == code

    said = capsys.readouterr().err
    assert says in said and "Traceback" not in said


@pytest.mark.parametrize(
    ("part", "words"),
    [
        ("edge.commands.plan.make_forecast", ("plan", "--device", "h200")),
        ("edge.commands.doctor.source_report", ("doctor", "synthetic:1")),
    ],
)
def test_a_defect_of_ours_is_no_wrong_usage(monkeypatch: pytest.MonkeyPatch, part: str, words: tuple[str, ...]) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ValueError("a defect")

    monkeypatch.setattr(part, fail)
    with pytest.raises(ValueError, match="a defect"):
        run(monkeypatch, *words)


@pytest.mark.parametrize(("device", "itemsize"), [("h200", 2), ("xeon-2", 4)])
def test_a_plan_is_for_the_numbers_that_its_device_computes_in(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, device: str, itemsize: int
) -> None:
    """A float16 checkpoint is widened on a CPU alone; and no device of this machine is asked."""
    model = tmp_path / "model"
    write_random_folder("pocket", model)
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps({**config, "dtype": "float16", "torch_dtype": "float16"}))
    monkeypatch.setattr("edge.runners.pytorch.choose_device", lambda name: pytest.fail(f"{name} was touched"))

    found = forecast_for(str(model), None, device, None, read_amounts(dict.fromkeys(UNIT)), Workload())

    assert found.forecast.memory.weights == itemsize * sum(
        math.prod(shape) for shape in parameter_shapes(read_config(model)).values()
    )


def test_what_does_not_fit_is_refused_before_it_is_loaded(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("edge.commands.profile.free", lambda device: 10**9)
    monkeypatch.setattr("edge.commands.profile.random_engine", lambda *a, **k: pytest.fail("it was loaded"))

    assert run(monkeypatch, "profile", "--model", "random:2b") == MODEL_FAILED

    assert "bytes short" in capsys.readouterr().err


EXHAUSTED = [
    torch.OutOfMemoryError("tried to allocate 1 TiB\nsecond line"),
    MemoryError("tried to allocate 1 TiB"),
    RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: tried to allocate 1 TiB"),
]


@pytest.mark.parametrize("error", EXHAUSTED, ids=lambda error: type(error).__name__)
def test_running_out_of_memory_while_loading_has_an_exit_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: Exception
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("edge.commands.profile.load_engine", fail)

    assert run(monkeypatch, "profile", *SHORT) == OUT_OF_MEMORY
    assert "tried to allocate 1 TiB" in capsys.readouterr().err


def test_running_out_of_memory_is_a_result_and_the_rest_goes_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object) -> None:
        raise EXHAUSTED[0]

    monkeypatch.setattr(profiling, "measure_steps", fail)
    monkeypatch.setattr(profiling, "power_meter", lambda device: lambda: 10.0)

    assert run(monkeypatch, "profile", *SHORT, "--json") == 0

    found = json.loads(capsys.readouterr().out)
    assert found["energy"]["not_measured"] == "no answer came to its end"
    assert found["failed"] == "out of memory: tried to allocate 1 TiB"
    assert "stages" not in found and found["live"]["seconds"] > 0 and found["memory"]["measured"]["total"] > 0
