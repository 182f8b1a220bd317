"""LLVM's text to machine code of this processor. Knows `llvmlite`; what was made stays for the process's life."""

from __future__ import annotations

from functools import cache
from typing import Any

from edge.kernels.jit import team

NEEDED = ("avx2", "fma", "f16c")  # as LLVM names them
VNNI = (("avx512vnni", "avx512vl"), ("avxvnni",))
BFLOAT16 = ("avx512bf16", "avx512bw", "avx512vl")


def refusal() -> str | None:
    """Why nothing can be made here, or None."""
    try:
        import llvmlite.binding  # noqa: F401
    except ImportError:
        return "needs llvmlite (pip install llvmlite)."
    if team.library() is None:
        return "needs PyTorch's OpenMP threads to be GNU's."
    if lacking := [name for name in NEEDED if not _has(name)]:
        return f"needs {', '.join(lacking)}, which this processor does not have."
    return None


@cache
def multiplies_bfloat16() -> bool:
    return _has(*BFLOAT16)


@cache
def multiplies_bytes() -> bool:
    return any(_has(*names) for names in VNNI)


@cache
def widest_bytes() -> int:
    """The bytes that are multiplied at a time: 64, 32, or 0 without VNNI."""
    return 64 if _has("avx512vnni", "avx512bw") else 32 if multiplies_bytes() else 0


def _has(*features: str) -> bool:
    import llvmlite.binding as llvm

    those = llvm.get_host_cpu_features()
    return all(those.get(name) for name in features)


def compiled(text: str) -> int:
    """The address of the text's function `run`. Raises RuntimeError for text that is none."""
    import llvmlite.binding as llvm

    module = llvm.parse_assembly(text)
    module.verify()
    machine = _machine()
    passes = llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options(speed_level=3))
    passes.getModulePassManager().run(module, passes)
    engine = llvm.create_mcjit_compiler(module, machine)
    engine.finalize_object()
    _kept.append(engine)
    address: int = engine.get_function_address("run")
    return address


_kept: list[Any] = []  # code lives as long as its engine


@cache
def _machine() -> Any:
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    for name in team.ASKED:
        llvm.add_symbol(name, team.address(name))
    features = llvm.get_host_cpu_features().flatten()
    target = llvm.Target.from_default_triple()
    return target.create_target_machine(cpu=llvm.get_host_cpu_name(), features=features, opt=3)
