"""A robotics engineer with frames in numpy: the script, run to its end."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent


def test_pushed_frames_are_answered_and_accounted_for() -> None:
    ended = subprocess.run([sys.executable, HERE / "robot.py", "4"], capture_output=True, text=True, check=False)

    assert ended.returncode == 0, ended.stderr
    answers = re.findall(r"of the last [\d.]+ s: (yes|no), p", ended.stdout)
    assert len(answers) >= 4 and "asked: " in ended.stdout
    counted = re.search(r"(\d+) frames pushed, (\d+) received, 0 unaccounted for", ended.stdout)
    assert counted is not None and counted[1] == counted[2]
    assert re.search(r"a push took [\d.]+ ms at most", ended.stdout)
