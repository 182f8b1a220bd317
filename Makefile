# One word per task; continuous integration uses the same words. Each sets up what it needs.
# PyTorch comes with CUDA where there is an NVIDIA driver: TORCH=cuda or TORCH=cpu decides instead, and so does
# PIP_INDEX="--index-url https://your.mirror/simple", which pip is given as it stands.

PYTHON ?= python3
PIP_INDEX ?= $$($(PYTHON) -I edge/torch_index.py)
TORCH ?=
export TORCH
BIN := .venv/bin
READY := .venv/.ready

.PHONY: demo test check fix bench peers interop gpu pocket clean

demo: $(READY)  ## the main job: a camera on loopback, watched by the embedded model
	$(BIN)/edge demo

test: $(READY) check  ## what continuous integration does; no GPU, no network
	$(BIN)/python -m pytest

check: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

fix: $(READY)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(READY)  ## the short form of every benchmark, into benchmarks/results/*short*; close everything else
	$(BIN)/python -m benchmarks.latency --short
	$(BIN)/python -m benchmarks.latency --short --variant bfloat16
	$(BIN)/python -m benchmarks.streaming --short
	$(BIN)/python -m benchmarks.peers --here --only transformers,ours,ours-bf16 --rounds 1 --repetitions 1
	rm -rf runs/bench && $(BIN)/edge quantize pocket runs/bench/int4 --method rtn
	$(BIN)/python -m benchmarks.quality pocket runs/bench/int4 --scenes 8 --name short
	$(BIN)/python -m benchmarks.pocket.evaluate --scenes 100 --name short
	$(BIN)/python -m benchmarks.tables

PEERS ?=
peers: $(READY)  ## other engines, each in its own environment: PEERS="--tokenizer FOLDER", one with Qwen2's tokenizer
	$(BIN)/python -m benchmarks.peers $(PEERS)

INTEROP := .venv-interop
interop:  ## GPTQModel loads what we write; it pins an older numpy, so its environment is its own
	$(PYTHON) -m venv $(INTEROP)
	sed 's/^numpy==.*/numpy==2.2.6/' constraints.txt > $(INTEROP)/constraints.txt
	set -e; index="$(PIP_INDEX)"; \
	install="$(INTEROP)/bin/pip install --quiet $$index --constraint $(INTEROP)/constraints.txt"; \
	$$install torch torchvision; \
	$$install gptqmodel==7.6.0 optimum==2.3.0; \
	$$install --editable . pytest pytest-timeout hypothesis
	$(INTEROP)/bin/python -m pytest tests/interop

DEVICE ?= cuda
SHORT ?=
gpu:  ## proofs and benchmarks on a CUDA device, in nine minutes, by $(PYTHON) if it has all that is needed, else .venv
	@python=$(PYTHON); \
	$$python -m benchmarks.gpu --device $(DEVICE) --check || { $(MAKE) $(READY) && python=$(BIN)/python; } && \
	$$python -m benchmarks.gpu --device $(DEVICE) $(if $(SHORT),--short)

pocket: $(READY)  ## train the embedded model from nothing; stops and goes on; hours on two cores
	$(BIN)/python -m benchmarks.pocket.train --out runs/pocket

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed; $(PYTHON) is older. Say make PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv .venv
	set -e; index="$(PIP_INDEX)"; \
	install="$(BIN)/pip install --quiet $$index --constraint constraints.txt"; \
	$$install torch; \
	$$install --editable ".[dev]"
	@touch $(READY)

clean:
	rm -rf .venv .venv-interop build dist demo .mypy_cache .ruff_cache .pytest_cache .hypothesis
