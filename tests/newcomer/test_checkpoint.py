"""An engineer with a fine-tuned checkpoint and data of their own: the script, run to the end."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from drawn_prompts import write_prompts

from edge.hub import POCKET

HERE = Path(__file__).parent


@pytest.mark.slow
@pytest.mark.timeout(400)  # on a machine that others use as well
def test_a_checkpoint_is_profiled_quantized_compared_and_asked(tmp_path: Path) -> None:
    tuned, data = shutil.copytree(POCKET, tmp_path / "tuned"), tmp_path / "data"
    data.mkdir()
    prompts = write_prompts(data, num_pictures=2)
    here = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    words = ["sh", HERE / "checkpoint.sh", tuned, prompts, data / "0.png"]
    ended = subprocess.run(words, cwd=tmp_path, env={**os.environ, "PATH": here}, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr

    profile, losses, answer = (
        json.loads((tmp_path / f"{name}.json").read_text()) for name in ("profile", "losses", "answer")
    )
    assert "vision tower" in {stage["name"] for stage in profile["stages"]}
    assert losses["examples"] == 4 and losses["left_out"] == []
    assert losses["source"]["scores"]["box_iou"] > 0.5 and losses["figures"]["top1"] > 0.8
    assert losses["variant"]["variant"].startswith("int4")
    assert answer["finish"] == "stop" and answer["text"]
    assert {"losses.png", "tuned-int4", "tuned-int4-errors.png"} <= {path.name for path in tmp_path.iterdir()}
    assert not list(tmp_path.glob("*.partial")) and not list(tmp_path.glob("*.calibration"))
