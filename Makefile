# `make` alone lists what there is. Everything is built in the release configuration, in .build, and with the same flags for
# program and tests (`swift test` alone would add testable imports and build all of it again).
MOONLAKE := .build/release/moonlake
PYTHON   := $(or $(MOONLAKE_PYTHON),.venv/bin/python)
export MOONLAKE_PYTHON = $(abspath $(PYTHON))
SWIFT    := swift
ARGS     :=
.DEFAULT_GOAL := help
.PHONY: help setup build build-tests test test-swift test-lua test-e2e test-all lint fmt bench bench-train demo data docs clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## install the packages that building needs (Debian 12; root or sudo)
	@scripts/setup build

build: setup ## build .build/release/moonlake
	$(SWIFT) build -c release --product moonlake

data: ## put MNIST into data/mnist
	@scripts/setup demo
	@scripts/get_mnist.py data/mnist

demo: build data ## the whole demo on MNIST: clean, train, serve (make demo ARGS=--once ends by itself)
	@scripts/demo $(ARGS)

test: ## build, Swift tests, Lua specs, and the tests from outside; a summary at the end
	@scripts/setup build test
	@scripts/test $(ARGS)

test-all: ## the same, and the full demo on all 70,000 digits
	@scripts/setup build test
	@MOONLAKE_TEST_ALL=1 scripts/test $(ARGS)

test-swift: ## Swift tests only (make test-swift ARGS='--filter TensorTests')
	$(SWIFT) test -c release --disable-testable-imports $(ARGS)

test-lua: ## Lua specs only, with the program that is built
	@$(MOONLAKE) test $(or $(ARGS),Tests/lua)

test-e2e: ## tests from outside only: REST, browser, pylance, PyTorch, attacks
	@scripts/setup test
	@$(MOONLAKE_PYTHON) -m pytest -q Tests/e2e $(ARGS)

lint: ## swift-format, luacheck, sizes of files
	@scripts/setup lint
	@scripts/lint

fmt: ## format all Swift files
	swift format -i -r --parallel Sources Tests Package.swift

bench: ## measure beside Python's stack in the same run; a table in .build/bench
	@scripts/setup build bench demo
	@$(MAKE) --no-print-directory build data
	@Benchmarks/run $(ARGS)

bench-train: ## training, predicting and single layers beside PyTorch and onnxruntime; JSON lines in .build/bench/train.jsonl
	@scripts/setup build bench demo
	@$(MAKE) --no-print-directory build data
	@MOONLAKE_ROOMS=TensorBench $(SWIFT) build -c release --product TensorBench --scratch-path .build/bench/layers
	@Benchmarks/train/run $(ARGS)

docs: build ## reference of the Lua API (docs/lua) and editor stubs (LuaLib/meta)
	$(MOONLAKE) doc

clean: ## remove what was built; the lake and the data stay
	rm -rf .build .venv
