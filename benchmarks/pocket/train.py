"""Train pocket from nothing with one command and a seed: `python -m benchmarks.pocket.train --out runs/pocket`.

Two stages. `tower`: the vision tower alone learns from a temporary dense head what stands in each
place of the picture; without it the language model sees nothing for the first tens of thousands of
scenes. `whole`: the language model learns to answer, and where to look while it answers; the dense
head keeps helping and is dropped at the end. Stop it whenever you like: the same command goes on from
the last checkpoint. `--start FOLDER` goes on from a finished model's weights instead, with `whole`.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.utils.data import DataLoader

from benchmarks.pocket.batches import IGNORE, PARTS, Batch, Batches, Plan, make_batch
from benchmarks.pocket.curve import draw_curve
from benchmarks.pocket.dense_head import DenseHead
from benchmarks.pocket.folder import CONFIG, TOKEN_ID, read_tokenizer, write_folder
from edge.attention import Attend
from edge.models.qwen2_vl.config import parse_config
from edge.models.qwen2_vl.model import Qwen2VL
from edge.models.qwen2_vl.patches import normalize, patchify
from edge.models.weights import load_model

SIZES_SEEN = (
    ((112, 112), 0.3), ((112, 168), 0.3), ((112, 196), 0.2), ((140, 140), 0.15), ((168, 112), 0.05),
)  # fmt: skip
POINTING = 3  # from this layer on, half the heads learn to look at the thing that is spoken of


@dataclass(frozen=True, slots=True)
class Stage:
    name: str
    steps: int
    rate: float  # peak learning rate
    tower_rate: float  # the vision tower's share of it
    plan: Plan
    check_every: int


STAGES = (
    Stage("tower", 2500, 1e-3, 1.0, Plan(48, 0, ((1, 1.0),), SIZES_SEEN), 500),
    Stage(
        "whole", 9600, 1.5e-3, 0.2,
        Plan(
            16, 13,
            ((1, 0.22), (2, 0.22), (3, 0.13), (4, 0.13), (5, 0.03), (6, 0.12), (7, 0.03), (8, 0.12)), SIZES_SEEN,
        ),
        500,
    ),
)  # fmt: skip


class Trainer:
    def __init__(self, out: Path, seed: int, device: str) -> None:
        torch.manual_seed(seed)
        self.out, self.seed, self.device = out, seed, torch.device(device)
        self.tokenizer = read_tokenizer()
        self.model = Qwen2VL(parse_config(CONFIG)).to(self.device)
        nn.init.normal_(self.model.model.embed_tokens.weight, std=0.05)
        self.head = DenseHead(CONFIG["hidden_size"]).to(self.device)
        self.stage, self.step, self.seconds = 0, 0, 0.0
        out.mkdir(parents=True, exist_ok=True)

    def start_from(self, folder: Path) -> None:
        """Take a finished model's weights and go on with the last stage."""
        finished = load_model(folder, self.model.config, torch.float32, self.device, fuse=False)
        self.model.load_state_dict(finished.state_dict())
        self.stage = len(STAGES) - 1

    def compile(self) -> None:
        """Fuse what stands between the products: on two cores a step takes 0.7 of its time. Needs a C++ compiler."""
        torch._dynamo.config.recompile_limit = 64  # one graph for each layer that points or is listened to
        for layer in [*self.model.model.layers, *self.model.visual.blocks]:
            layer.compile(dynamic=True)

    def run(self) -> None:
        resumed = self._load()
        while self.stage < len(STAGES):
            self._run_stage(STAGES[self.stage], resumed)
            resumed = None
            self.stage, self.step, self.seconds = self.stage + 1, 0, 0.0
        export(self.model, self.out / "model")

    def _run_stage(self, stage: Stage, optimizer_state: dict[str, Any] | None) -> None:
        optimizer = self._optimizer(stage)
        if optimizer_state is not None:
            peaks = [group["peak"] for group in optimizer.param_groups]  # the stage's word counts, not the file's
            optimizer.load_state_dict(optimizer_state)
            for group, peak in zip(optimizer.param_groups, peaks, strict=True):
                group["peak"] = peak
        tokenizer, seed = self.tokenizer.to_str(), self.seed + 1000 * self.stage
        batches = DataLoader(Batches(tokenizer, stage.plan, seed, self.step), batch_size=None, num_workers=1)
        started = time.monotonic() - self.seconds
        smooth: dict[str, float] = {}
        for batch in batches:
            if self.step >= stage.steps:
                break
            for group in optimizer.param_groups:
                group["lr"] = group["peak"] * _schedule(self.step / stage.steps)
            loss, parts = self.losses(batch, stage.plan.questions > 0)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_([p for group in optimizer.param_groups for p in group["params"]], 1.0)
            optimizer.step()
            self.step += 1
            for name, value in parts.items():
                smooth[name] = 0.98 * smooth.get(name, value) + 0.02 * value
            if self.step % 100 == 0:
                self.seconds = time.monotonic() - started
                self._report(stage, smooth)
            if self.step % stage.check_every == 0 or self.step == stage.steps:
                self._save(optimizer)
                if stage.plan.questions:
                    self._log({"stage": stage.name, "step": self.step, "exact": self.exactness(stage)})
                draw_curve(self.out / "log.jsonl", self.out / "curve.png")

    def losses(self, batch: Batch, speak: bool) -> tuple[Tensor, dict[str, float]]:
        with torch.autocast(self.device.type, torch.bfloat16):
            embeddings = self._see(batch)
            cells, offsets, boxes = (x.to(self.device) for x in (batch.cells, batch.offsets, batch.boxes))
            dense, parts = self.head.loss(embeddings, cells, offsets)
            if not speak:
                return dense, parts
            logits, targets, kinds, watched, looks = self._speak(batch, embeddings)
            weights = _weights(batch).to(self.device)
            place = self.head.place_loss(watched, cells, boxes)
            point = _point_loss(looks, batch.things.to(self.device), batch.owners.to(self.device))
            parts |= {"place": place.item(), "point": point.item()}
        each = F.cross_entropy(logits.float(), targets, reduction="none")
        for index, part in enumerate(PARTS):
            if (kinds == index).any():
                parts[part] = each[kinds == index].mean().item()
        return (each * weights).sum() / weights.sum() + 0.1 * dense + 0.2 * place + 0.2 * point, parts

    def _see(self, batch: Batch) -> Tensor:
        """Embeddings (scenes, groups, cells, hidden)."""
        frames = batch.frames.to(self.device)
        config, (height, width) = self.model.config.vision, frames.shape[3:5]
        patches = patchify(normalize(frames.flatten(0, 1).permute(0, 1, 4, 2, 3)), config)
        rows, columns = height // config.patch_size, width // config.patch_size
        see = self.model.visual(patches, rows, columns, lambda q, k, v: attention(q, k, v)[0])
        embeddings: Tensor = see.unflatten(0, frames.shape[:2])
        return embeddings

    def _speak(self, batch: Batch, embeddings: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, list[Tensor]]:
        """Logits (answers' tokens, vocab), their targets, the part each belongs to; what the video's tokens know
        halfway up; how much every token looks at the newest group (scenes, heads, n, cells), by layer."""
        tokens, targets = batch.tokens.to(self.device), batch.targets.to(self.device)
        x = self.model.embed(tokens).to(embeddings.dtype)
        video = tokens == TOKEN_ID["<|video_pad|>"]
        x = x.masked_scatter(video[..., None], embeddings.flatten(0, 2))
        mask = _visible(batch.blocks.to(self.device))

        newest_end = int(video[0].nonzero()[-1]) + 1
        newest = slice(newest_end - embeddings.shape[2], newest_end)
        looks: list[Tensor] = []

        def attend(layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            share = q.shape[1] // k.shape[1]
            out, seen = attention(q, k.repeat_interleave(share, 1), v.repeat_interleave(share, 1), mask)
            if layer >= POINTING:
                looks.append(seen[:, ::share, :, newest])  # one head for each that holds keys
            return out

        hidden, halfway = self._listen(x, batch.positions.to(self.device), attend)
        learned = targets != IGNORE
        kinds = batch.parts.to(self.device)[learned]
        return self.model.logits(hidden[learned]), targets[learned], kinds, halfway[video], looks

    def _listen(self, x: Tensor, at: Tensor, attend: Attend) -> tuple[Tensor, Tensor]:
        """The language model's last states, and those halfway up.

        Places must be known by then: what only the last layer knows of the picture, no answer can read.
        """
        caught: list[Tensor] = []
        layers = self.model.model.layers
        handle = layers[len(layers) // 2].register_forward_hook(lambda module, inputs, out: caught.append(out))
        hidden: Tensor = self.model.model(x, at, attend)
        handle.remove()
        return hidden, caught[0]

    @torch.no_grad()
    def exactness(self, stage: Stage) -> dict[str, float]:
        """Share of answers, by part, that greedy decoding would give word for word (unseen scenes)."""
        import numpy as np

        right: dict[str, list[float]] = {}
        for index in range(6):
            batch = make_batch(self.tokenizer, stage.plan, np.random.default_rng([99, self.stage, index]))
            with torch.autocast(self.device.type, torch.bfloat16):
                logits, targets, kinds, _, _ = self._speak(batch, self._see(batch))
            learned = batch.targets != IGNORE
            owner = (torch.arange(len(batch.blocks))[:, None] * 1000 + batch.blocks)[learned]
            hit = (logits.argmax(-1) == targets).cpu()
            for answer in owner.unique():
                mine = owner == answer
                right.setdefault(PARTS[int(kinds.cpu()[mine][0])], []).append(float(hit[mine].all()))
        return {part: round(sum(values) / len(values), 3) for part, values in right.items()}

    def _optimizer(self, stage: Stage) -> torch.optim.Optimizer:
        groups = [
            {"params": list(self.model.visual.parameters()), "peak": stage.rate * stage.tower_rate},
            {"params": list(self.head.parameters()), "peak": stage.rate},
        ]
        if stage.plan.questions:
            groups.append({"params": list(self.model.model.parameters()), "peak": stage.rate})
        return torch.optim.AdamW(groups, lr=stage.rate, betas=(0.9, 0.98), weight_decay=0.02, fused=True)

    def _report(self, stage: Stage, smooth: dict[str, float]) -> None:
        left = self.seconds / self.step * (stage.steps - self.step)
        rounded = {name: round(value, 4) for name, value in smooth.items()}
        self._log({"stage": stage.name, "step": self.step, "seconds": round(self.seconds), "loss": rounded})
        parts = " ".join(f"{name} {value:.3f}" for name, value in smooth.items())
        print(f"{stage.name} {self.step}/{stage.steps}  {left / 60:.0f} min left  {parts}", flush=True)

    def _log(self, record: dict[str, Any]) -> None:
        with (self.out / "log.jsonl").open("a") as file:
            file.write(json.dumps(record) + "\n")

    def _save(self, optimizer: torch.optim.Optimizer) -> None:
        state = {
            "model": self.model.state_dict(), "head": self.head.state_dict(), "optimizer": optimizer.state_dict(),
            "stage": self.stage, "step": self.step, "seconds": self.seconds,
        }  # fmt: skip
        partial = self.out / "checkpoint.partial"
        torch.save(state, partial)
        partial.replace(self.out / "checkpoint.pt")  # never half a checkpoint

    def _load(self) -> dict[str, Any] | None:
        path = self.out / "checkpoint.pt"
        if not path.exists():
            return None
        state = torch.load(path, map_location=self.device, weights_only=True)
        self.model.load_state_dict(state["model"])
        self.head.load_state_dict(state["head"])
        self.stage, self.step, self.seconds = state["stage"], state["step"], state["seconds"]
        print(f"going on from {STAGES[self.stage].name} step {self.step}")
        optimizer: dict[str, Any] = state["optimizer"]
        return optimizer


def _point_loss(looks: list[Tensor], things: Tensor, owners: Tensor) -> Tensor:
    """How little the pointing heads look at what is spoken of: mean -log of the share of their attention.

    looks: per layer (scenes, heads, n, cells), shares of attention on the newest group's cells; things
    (scenes, n) and owners (scenes, cells) as in `Batch`.
    """
    spoken = (things[:, :, None] >> owners.clamp(min=0)[:, None, :]) & 1
    there = spoken.bool() & (owners >= 0)[:, None, :]  # (scenes, n, cells)
    rows = there.any(-1)
    seen = torch.stack([(look.float() * there[:, None]).sum(-1) for look in looks])  # (layers, scenes, heads, n)
    return -(seen.transpose(2, 3)[:, rows] + 1e-4).log().mean()


def attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Plain attention in bfloat16, and its weights: on a CPU its backward pass is twice as fast as the fused one."""
    with torch.autocast(q.device.type, enabled=False):
        q, k, v = (x.to(torch.bfloat16) for x in (q, k, v))
        scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2)
        if mask is not None:
            scores = scores + torch.where(mask, 0.0, -1e4).to(scores.dtype)
        weights = scores.softmax(-1)
        out: Tensor = weights @ v
    return out, weights


def _weights(batch: Batch) -> Tensor:
    """Of each learned token: one over the root of its answer's length, lest digits drown yes and no."""
    learned = batch.targets != IGNORE
    owner = (torch.arange(len(batch.blocks))[:, None] * 1000 + batch.blocks)[learned]
    _, answer, lengths = owner.unique(return_inverse=True, return_counts=True)
    weights: Tensor = lengths[answer].float().rsqrt()
    return weights


def _visible(blocks: Tensor) -> Tensor:
    """Mask (scenes, 1, n, n): a token sees what comes before it, shared or of its own question."""
    n = blocks.shape[1]
    past = torch.ones(n, n, dtype=torch.bool, device=blocks.device).tril()
    shared = blocks[:, None, :] == 0
    own = blocks[:, :, None] == blocks[:, None, :]
    return (past & (shared | own))[:, None]


def _schedule(progress: float) -> float:
    """Warm up, then half a cosine down to a twentieth."""
    if progress < 0.03:
        return progress / 0.03
    return 0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * (progress - 0.03) / 0.97))


def export(model: Qwen2VL, folder: Path) -> None:
    """A Hugging Face folder, in the official checkpoints' spelling; half precision halves the wheel."""
    write_folder(folder)
    tensors = {name: value.detach().cpu().half().contiguous() for name, value in model.named_parameters()}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def main() -> None:
    # oneDNN builds a kernel for every shape of product and forgets all but a thousand; training meets more of them.
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "30000")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/pocket"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--start", type=Path, help="a model folder whose weights to go on from")
    parser.add_argument("--compile", action="store_true", help="faster steps; needs a C++ compiler")
    parser.add_argument("--export", action="store_true", help="write the model of the last checkpoint and stop")
    arguments = parser.parse_args()
    trainer = Trainer(arguments.out, arguments.seed, arguments.device)
    if arguments.start:
        trainer.start_from(arguments.start)
    if arguments.compile:
        trainer.compile()
    if arguments.export:
        trainer._load()
        export(trainer.model, arguments.out / "model")
    else:
        trainer.run()


if __name__ == "__main__":
    main()
