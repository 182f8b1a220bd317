"""How fast are we beside others? One workload, one adapter file for each engine, each in an environment of its own.

An adapter is one file and one line in `PEERS`; "your.package:YourAdapter" works in the same place. Adapters import
nothing but the standard library and numpy at their head: they are read here to be listed, and run there to measure.
"""

from __future__ import annotations

PEERS = {
    "transformers": "benchmarks.peers.transformers_bf16:TransformersBf16",
    "transformers-compiled": "benchmarks.peers.transformers_compiled:TransformersCompiled",
    "llama.cpp": "benchmarks.peers.llama_cpp_q4:LlamaCppQ4",
    "llama.cpp-q8": "benchmarks.peers.llama_cpp_q8:LlamaCppQ8",
    "openvino": "benchmarks.peers.openvino_int4:OpenVinoInt4",
    "onnxruntime": "benchmarks.peers.onnxruntime_int4:OnnxRuntimeInt4",
    "ours": "benchmarks.peers.ours_int4:OursInt4",
    "ours-bf16": "benchmarks.peers.ours_bf16:OursBf16",
}
BASELINE = "transformers"
