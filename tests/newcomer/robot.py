"""A robot that has its camera's frames in numpy: pushes them, hears an answer each second, and asks in between.

Run: python robot.py [SECONDS] [MODEL]
"""

from __future__ import annotations

import sys
import threading
import time

import edge
from stream.sources.scene import Scene

SECONDS = float(sys.argv[1]) if len(sys.argv) > 1 else 10.0
MODEL = sys.argv[2] if len(sys.argv) > 2 else "pocket"

gripper = edge.PushSource("gripper")
pushes: list[float] = []  # seconds that each took


def camera() -> None:
    """Thirty frames a second, (height, width, 3) uint8 in RGB: here of a drawn scene."""
    scene, begin = Scene(seed=1, width=168, height=112, duration=SECONDS), time.monotonic()
    for number in range(int(SECONDS * 30)):
        picture = scene.render(number / 30, 112, 168)
        time.sleep(max(0.0, begin + number / 30 - time.monotonic()))
        before = time.perf_counter()
        gripper.push(picture)
        pushes.append(time.perf_counter() - before)
    gripper.close()


threading.Thread(target=camera).start()

watching = edge.watch(gripper, model=MODEL, ask="Is there a red circle?", seconds=3)
asked = False
for event in watching:
    print(f"{event.time}  {event.age:.2f} s old, of the last {event.span:.1f} s: {event.answer}, p {event.p_yes:.2f}")
    if not asked:
        asked = True
        print("asked:", watching.ask("Describe the video.").result().text.removesuffix("<|im_end|>"))

numbers = watching.summary
lost = numbers.received - numbers.analysed - sum(numbers.dropped.values()) - numbers.pending
print(f"{numbers.received} frames, {numbers.events} answers, {lost} frames unaccounted for")
print(f"a push took {1000 * max(pushes):.2f} ms at most")
