"""A robot that has its camera's frames in numpy: pushes them, hears an answer each second, and asks in between.

Run: python robot.py [ANSWERS] [MODEL]
"""

from __future__ import annotations

import sys
import threading
import time

import edge
from stream.sources.scene import Scene

ANSWERS = int(sys.argv[1]) if len(sys.argv) > 1 else 10
MODEL = sys.argv[2] if len(sys.argv) > 2 else "pocket"

gripper = edge.PushSource("gripper")
is_done = threading.Event()
pushes: list[float] = []  # seconds that each took


def camera() -> None:
    """Thirty frames a second, (height, width, 3) uint8 in RGB: here of a drawn scene."""
    scene, begin = Scene(seed=1, width=168, height=112), time.monotonic()
    while not is_done.wait(begin + len(pushes) / 30 - time.monotonic()):
        picture = scene.render(len(pushes) / 30 % 60, 112, 168)
        before = time.perf_counter()
        gripper.push(picture)
        pushes.append(time.perf_counter() - before)
    gripper.close()


threading.Thread(target=camera).start()

watching = edge.watch(gripper, model=MODEL, ask="Is there a red circle?", seconds=3)
for number, event in enumerate(watching, start=1):
    print(f"{event.time}  {event.age:.2f} s old, of the last {event.span:.1f} s: {event.answer}, p {event.p_yes:.2f}")
    if number == 2:
        print("asked:", watching.ask("Describe the video.").result().text.removesuffix("<|im_end|>"))
    if number == ANSWERS:
        is_done.set()

numbers = watching.summary
lost = numbers.received - numbers.analysed - sum(numbers.dropped.values()) - numbers.pending
print(f"{len(pushes)} frames pushed, {numbers.received} received, {lost} unaccounted for; {numbers.events} answers")
print(f"a push took {1000 * max(pushes):.2f} ms at most")
