"""OpenVINO GenAI: INT4 weights in groups of 128, INT8 in the head and the vision tower, as its exporter chooses.

Activations are quantized in groups of 128 too, which is faster than its default. Its cache of prefixes is off:
pictures here are always new.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from typing import Any

from benchmarks.peers.adapter import Adapter, main
from benchmarks.peers.workload import NEW_TOKENS, TEXT_TOKENS, VISUAL_TOKENS, WORD, WORDS, Picture, Times

GROUP = 128


class OpenVinoInt4(Adapter):
    """Generates with OpenVINO GenAI and reads its own times."""

    engine = "OpenVINO GenAI"
    variant = f"int4 g{GROUP}, head and vision int8"
    grid = "int4-g128-asym+int8-channel"
    packages = ("openvino-genai", "openvino", "optimum-intel", "transformers", "nncf")
    environment = "openvino_genai"

    @classmethod
    def convert(cls, model: Path, out: Path) -> None:
        _declare_missing_operators()
        options = ["--task", "image-text-to-text", "--weight-format", "int4", "--group-size", str(GROUP)]
        sys.argv = ["optimum-cli", "export", "openvino", "--model", str(model), *options, str(out)]
        importlib.import_module("optimum.commands.optimum_cli").main()

    def __init__(self, folder: Path) -> None:
        self.openvino, genai = importlib.import_module("openvino"), importlib.import_module("openvino_genai")
        scheduler = genai.SchedulerConfig()
        scheduler.enable_prefix_caching = False
        options = {"DYNAMIC_QUANTIZATION_GROUP_SIZE": GROUP}
        self.pipeline = genai.VLMPipeline(str(folder), "CPU", scheduler_config=scheduler, **options)
        self.settings = genai.GenerationConfig(
            max_new_tokens=NEW_TOKENS, ignore_eos=True, do_sample=False, apply_chat_template=False
        )

    def answer(self, pixels: Picture) -> Times:
        picture = self.openvino.Tensor(pixels[None])
        prompt = "<ov_genai_image_0>" + WORD * WORDS
        answer = self.pipeline.generate(prompt, images=[picture], generation_config=self.settings)
        measured = answer.perf_metrics
        if (read := measured.get_num_input_tokens()) != VISUAL_TOKENS + TEXT_TOKENS:
            self.note = f"prompt of {read} tokens"
        vision, first = measured.get_prepare_embeddings_duration().mean, measured.get_ttft().mean
        return Times(vision, first - vision, first, 1000 / measured.get_tpot().mean)


def _declare_missing_operators() -> None:
    """The exporter imports torchvision, which cannot be imported beside a torch it was not built for until its two
    operators are declared. They are not called."""
    torch, found = importlib.import_module("torch"), importlib.util.find_spec("torchvision")
    try:
        for extension in Path(str(found and found.origin)).parent.glob("_C*"):
            torch.ops.load_library(str(extension))
            return
    except OSError:
        library = torch.library.Library("torchvision", "DEF")
        library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _KEPT.append(library)  # its operators live as long as it does


_KEPT: list[Any] = []


if __name__ == "__main__":
    main(OpenVinoInt4)
