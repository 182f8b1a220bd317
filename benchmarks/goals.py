"""How fast a CPU is to be, and how fast it is: README's table of targets.

Chooses from the results of the benchmarks; measures nothing. A target is a bound that was set before it was measured,
and stays where it is when it is missed; then the table says why.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from benchmarks.figures import INT4, WINDOW, Absent, Read, Result, first
from benchmarks.markdown import markdown

LATENCY, PEERS, STREAMING = "latency-short-cpu", "peers-part-cpu", "streaming-cpu"
LARGE = 448  # pixels of a side
UNMEASURED = "not measured"


@dataclass(frozen=True, slots=True)
class Goal:
    what: str
    measured: Callable[[Read], float]
    bound: float
    is_least: bool  # or the most
    form: str  # of figures
    why_missed: str = ""

    def row(self, read: Read) -> tuple[str, ...]:
        target = ("≥ " if self.is_least else "≤ ") + self.form.format(self.bound)
        try:
            found = self.measured(read)
        except (Absent, FileNotFoundError):
            return self.what, UNMEASURED, target, ""
        is_reached = found >= self.bound if self.is_least else found <= self.bound
        verdict = "reached" if is_reached else f"missed: {self.why_missed}" if self.why_missed else "missed"
        return self.what, self.form.format(found), target, verdict


def goals(read: Read) -> str:
    return markdown(("two CPU cores, 2B shape, INT4", "measured", "target", ""), [goal.row(read) for goal in GOALS])


def _stage(read: Read, name: str, result: str = LATENCY) -> Result:
    return first(read(result)["profile"]["stages"], name=name)


def _share(read: Read, name: str) -> float:
    share: float = _stage(read, name)["share_of_ceiling"]
    return share


def _token(read: Read) -> float:
    """Its least time over its time, with one group in the cache."""
    speed: float = read(LATENCY)["profile"]["decode"][0]["tokens_per_second"]
    floor: float = _stage(read, "token")["floor"]
    return floor * speed


def _full_window(read: Read) -> float:
    """A token's time at the end of the window, over that at its start."""
    curve = read(LATENCY)["profile"]["decode"]
    ratio: float = curve[0]["tokens_per_second"] / curve[-1]["tokens_per_second"]
    return ratio


def _append(read: Read) -> float:
    ratio: float = _stage(read, "append")["p50"] / _stage(read, "append", f"{LATENCY}-bfloat16")["p50"]
    return ratio


def _peer(read: Read, name: str, measure: str) -> float:
    rows: Iterable[Result] = read(PEERS)["rows"]
    figure: float = first(rows, name=name, unavailable=None)[measure]
    return figure


def _slide(read: Read) -> float:
    ratio: float = first(read(STREAMING)["rows"], variant=INT4, window=WINDOW, size=LARGE)["ratio"]["median"]
    return ratio


def _age(read: Read) -> float:
    """Of a live answer, over the steps from a group's last frame to that answer."""
    steps = _stage(read, "vision tower")["p50"] + _stage(read, "append")["p50"] + _stage(read, "question")["p50"]
    profile = read(LATENCY)["profile"]
    tokens = profile["workload"]["answer_tokens"] * _stage(read, "token")["p50"]
    ratio: float = profile["live"]["age_p50"] / (steps + tokens)
    return ratio


GOALS = (
    Goal(
        "a token with one group in the cache: share of what reading its weights alone takes", _token, 0.70, True,
        "{:.2f}", "it takes as long where memory is slower, so instructions bound it",
    ),
    Goal(
        f"a token at the end of a window of {WINDOW} groups, against its start", _full_window, 1.15, False, "{:.2f}x",
        "attention reads more keys and values",
    ),
    Goal(
        "tokens per second, against llama.cpp Q4_0",
        lambda read: _peer(read, "ours", "decode_tps") / _peer(read, "llama.cpp", "decode_tps"), 1.0, True, "{:.2f}x",
        "as the first row",
    ),
    Goal(
        "appending a group of 504x364, against bfloat16", _append, 0.6, False, "{:.2f}x",
        "what is not a product was not looked into",
    ),
    Goal(
        "a question of 32 tokens to its first token", lambda read: 1000 * _stage(read, "question")["p50"], 120, False,
        "{:.0f} ms", "what is not a product was not looked into",
    ),
    Goal(
        "vision tower: share of the device's INT8 products", lambda read: _share(read, "vision tower"), 0.5, True,
        "{:.2f}",
    ),
    Goal(
        "a picture of 448x448 to the first token, against OpenVINO INT4",
        lambda read: _peer(read, "ours", "ttft_ms") / _peer(read, "openvino", "ttft_ms"), 0.85, False, "{:.2f}x",
        "what is not a product was not looked into",
    ),
    Goal(
        f"{WINDOW} groups of {LARGE}x{LARGE} slide by one, 32 tokens: times faster than transformers, which reads all "
        "again", _slide, 6, True, "{:.1f}x", "measured on another machine, before what made the other rows fast",
    ),
    Goal("age of live answers, against one group and one answer", _age, 1.5, False, "{:.2f}x", "of two answers only"),
    Goal(
        "memory at its highest", lambda read: read(LATENCY)["profile"]["memory"]["measured"]["total"] / 1e9, 2.4, False,
        "{:.3f} GB", "it grows while the window does",
    ),
)  # fmt: skip
