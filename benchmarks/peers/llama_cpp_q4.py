"""llama.cpp through llama-cpp-python: all matrices of the language model in Q4_0, the vision tower in bfloat16.

Drives the library's C functions, as its own programs do, because its Python classes do not take times apart. The
package from the registry holds llama.cpp's converter in its source only, which is fetched for it.
"""

from __future__ import annotations

import ctypes
import importlib
import subprocess
import sys
import time
from importlib import metadata
from pathlib import Path
from typing import Any

from benchmarks.peers.adapter import Adapter, Unavailable, main, threads
from benchmarks.peers.workload import NEW_TOKENS, SIDE, TEXT_TOKENS, VISUAL_TOKENS, WORD, WORDS, Picture, Times

ROOM = 512  # tokens of context and of a batch: the prompt in one piece


class LlamaCppQ4(Adapter):
    """Encodes, reads and decodes with llama.cpp's own functions."""

    engine = "llama.cpp"
    variant = "Q4_0 pure, vision bf16"
    grid = "int4-g32"
    note = "compiled here, with -fno-dse: otherwise GCC 12 breaks its AMX products"
    packages = ("llama_cpp_python",)
    environment = "llama_cpp"
    vision_type = "bf16"

    @classmethod
    def convert(cls, model: Path, out: Path) -> None:
        script = _source() / "vendor" / "llama.cpp" / "convert_hf_to_gguf.py"
        out.mkdir()
        whole = out / "whole.gguf"
        for options in (["bf16", "--outfile", whole], [cls.vision_type, "--outfile", out / "vision.gguf", "--mmproj"]):
            subprocess.run([sys.executable, script, model, "--outtype", *map(str, options)], check=True)
        _quantize(whole, out / "language.gguf")
        whole.unlink()

    def __init__(self, folder: Path) -> None:
        self.llama, self.mtmd = _library("llama_cpp"), _library("mtmd_cpp")
        self.model = self.llama.llama_model_load_from_file(
            bytes(folder / "language.gguf"), self.llama.llama_model_default_params()
        )
        self.context = self.llama.llama_init_from_model(self.model, self._settings())
        settings = self.mtmd.mtmd_context_params_default()
        settings.n_threads, settings.print_timings = threads(), False
        self.eyes = self.mtmd.mtmd_init_from_file(bytes(folder / "vision.gguf"), self.model, settings)
        if not self.model or not self.context or not self.eyes:
            raise Unavailable(f"llama.cpp could not load {folder}")
        self.greedy = self.llama.llama_sampler_init_greedy()

    def answer(self, pixels: Picture) -> Times:
        self.llama.llama_memory_clear(self.llama.llama_get_memory(self.context), True)
        started = time.perf_counter()
        chunks = self._chunks(pixels)
        embeddings = self._encode(chunks)
        encoded = time.perf_counter()
        self._read(chunks, embeddings)
        token = self._next()
        first = time.perf_counter()
        for _ in range(NEW_TOKENS - 1):
            token = self._next(token)
        rate = (NEW_TOKENS - 1) / (time.perf_counter() - first)
        return Times(1000 * (encoded - started), 1000 * (first - encoded), 1000 * (first - started), rate)

    def _settings(self) -> Any:
        settings = self.llama.llama_context_default_params()
        settings.n_ctx = settings.n_batch = settings.n_ubatch = ROOM
        settings.n_threads = settings.n_threads_batch = threads()
        return settings

    def _chunks(self, pixels: Picture) -> list[Any]:
        """The prompt in pieces: text, picture, text. The library puts Qwen2-VL's markers around the picture."""
        mtmd = self.mtmd
        data = pixels.ctypes.data_as(ctypes.POINTER(ctypes.c_uint8))
        bitmaps = (mtmd.mtmd_bitmap_p_ctypes * 1)(mtmd.mtmd_bitmap_init(SIDE, SIDE, data))
        prompt = mtmd.mtmd_default_marker() + (WORD * WORDS).encode()
        text = mtmd.mtmd_input_text(text=prompt, text_len=len(prompt), add_special=False, parse_special=True)
        held = mtmd.mtmd_input_chunks_init()
        if mtmd.mtmd_tokenize(self.eyes, held, ctypes.byref(text), bitmaps, 1):
            raise Unavailable("llama.cpp could not read the prompt")
        if (read := mtmd.mtmd_helper_get_n_tokens(held)) != VISUAL_TOKENS + TEXT_TOKENS:
            self.note = f"prompt of {read} tokens"
        return [mtmd.mtmd_input_chunks_get(held, index) for index in range(mtmd.mtmd_input_chunks_size(held))]

    def _encode(self, chunks: list[Any]) -> Any:
        (picture,) = filter(self._is_picture, chunks)
        if self.mtmd.mtmd_encode_chunk(self.eyes, picture):
            raise Unavailable("llama.cpp could not encode the picture")
        return self.mtmd.mtmd_get_output_embd(self.eyes)

    def _read(self, chunks: list[Any], embeddings: Any) -> None:
        at = ctypes.c_int32(0)
        for chunk in chunks:
            place = (at, 0, ROOM)
            if self._is_picture(chunk):
                no_callback = self.mtmd.mtmd_helper_post_decode_callback()
                failed = self.mtmd.mtmd_helper_decode_image_chunk(
                    self.eyes, self.context, chunk, embeddings, *place, ctypes.byref(at), no_callback, None
                )
            else:
                failed = self.mtmd.mtmd_helper_eval_chunk_single(
                    self.eyes, self.context, chunk, *place, chunk == chunks[-1], ctypes.byref(at)
                )
            if failed:
                raise Unavailable("llama.cpp could not read the prompt")

    def _next(self, token: int | None = None) -> int:
        """The most probable token after what was read, and after `token`."""
        if token is not None:
            batch = self.llama.llama_batch_get_one((self.llama.llama_token * 1)(token), 1)
            if self.llama.llama_decode(self.context, batch):
                raise Unavailable("llama.cpp could not decode")
        chosen: int = self.llama.llama_sampler_sample(self.greedy, self.context, -1)
        return chosen

    def _is_picture(self, chunk: Any) -> bool:
        return bool(self.mtmd.mtmd_input_chunk_get_type(chunk) == self.mtmd.MTMD_INPUT_CHUNK_TYPE_IMAGE)


def _library(name: str) -> Any:
    return importlib.import_module(f"llama_cpp.{name}")


def _quantize(source: Path, out: Path) -> None:
    llama = _library("llama_cpp")
    settings = llama.llama_model_quantize_default_params()
    settings.ftype, settings.pure, settings.nthread = llama.LLAMA_FTYPE_MOSTLY_Q4_0, True, threads()
    if llama.llama_model_quantize(bytes(source), bytes(out), settings):
        raise Unavailable(f"llama.cpp could not quantize {source}")


def _source() -> Path:
    """The package's source, fetched beside its environment."""
    version = metadata.version("llama_cpp_python")
    cache = Path(sys.prefix).parent / "source"
    folder = cache / f"llama_cpp_python-{version}"
    if not folder.exists():
        fetch = ["download", "--no-deps", "--no-binary", ":all:", "--dest", str(cache), f"llama_cpp_python=={version}"]
        subprocess.run([sys.executable, "-m", "pip", *fetch], check=True)
        subprocess.run(["tar", "--extract", "--file", f"{folder}.tar.gz", "--directory", cache], check=True)
    return folder


if __name__ == "__main__":
    main(LlamaCppQ4)
