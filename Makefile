# stampede: every target does its own set-up. `make drill` and `make test` are the two to know.
#
# One profile (dev, optimised) and one target directory serve tests, drills and benchmarks. RocksDB itself is compiled once
# into a static library under $(CACHE), so that neither a new clone nor a changed dependency costs it again.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c

CACHE ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/stampede
CARGO_TARGET_DIR ?= $(CURDIR)/target
export CARGO_TARGET_DIR
# What `version` says, and every drill's last lines: one for all targets, so that none rebuilds what another built.
STAMPEDE_REVISION ?= $(shell git describe --always --dirty 2>/dev/null || echo unknown)
export STAMPEDE_REVISION
BIN := $(CARGO_TARGET_DIR)/debug

ROCKSDB_VERSION := $(shell sed -n '/^name = "librocksdb-sys"/{n;s/version = "\(.*\)"/\1/p;}' Cargo.lock)
$(if $(ROCKSDB_VERSION),,$(error Cargo.lock names no version of librocksdb-sys))
ROCKSDB_DIR := $(CACHE)/rocksdb-$(ROCKSDB_VERSION)
ROCKSDB_LIB := $(ROCKSDB_DIR)/librocksdb.a
# Read by the build script of librocksdb-sys: link this library instead of compiling another.
WITH_ROCKSDB := ROCKSDB_LIB_DIR=$(ROCKSDB_DIR) ROCKSDB_STATIC=1
CARGO := $(WITH_ROCKSDB) cargo
# Every build but a release answers drills from within; one set of features, so that no target rebuilds what another built.
FEATURES := --features drill-controls
# What a release has: no feature, and none of our own assertions. Of the dependencies nothing is built anew.
AS_IN_A_RELEASE := --config profile.dev.debug-assertions=false

CARGO_DENY_VERSION := 0.20.2
CARGO_DENY := $(CACHE)/tools/bin/cargo-deny
CARGO_MUTANTS_VERSION := 27.1.0
CARGO_MUTANTS := $(CACHE)/tools/bin/cargo-mutants

SCENARIO ?= chaos/scenarios/casn2024-leader-kill.toml
DRILL_ARGS ?=
DEMO_ARGS ?=
MUTANTS ?= chaos/src/checks/**
ARGS ?= --help
# Has every planted bug; each is picked by its number (src/planted.rs).
PLANTED := $(CARGO_TARGET_DIR)/stampede-with-planted-bugs
# All but 11 and 12, which live in transport, and 16, which has a test of its own.
SIMULATED_BUGS := 1 2 3 4 5 6 7 8 9 10 13 14 15

.PHONY: help drill drills test demo cargo verify fix bench planted-bugs kill-matrix simulated-bugs mutants report-check build setup libclang prometheus

help: ## Show this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 22

# make itself ends with 2 whenever a recipe fails: the last line of the drill says its own code.
drill: build ## Rush three real nodes, kill their leaders, judge what is left (SCENARIO=file DRILL_ARGS="--seed 7"); make ends with 2 unless it held
	$(BIN)/stampede-chaos run $(SCENARIO) $(DRILL_ARGS)

drills: build ## Run every scenario with three seeds, about two hours on two cores; make ends with 2 unless all held
	$(BIN)/stampede-chaos suite

test: setup prometheus ## Run every test
	$(CARGO) test --locked --workspace $(FEATURES) --no-fail-fast

demo: build ## Three nodes on this machine until Ctrl-C, with what to try (DEMO_ARGS="--port-base 8700")
	$(BIN)/stampede demo $(DEMO_ARGS)

cargo: setup ## Any cargo command, with what it needs (ARGS="test --locked --test domain")
	$(CARGO) $(ARGS)

verify: setup $(CARGO_DENY) ## Check format, lints, docs, licences; writes nothing to the tree
	cargo fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets $(FEATURES) -- -D warnings
	$(CARGO) check --locked --bins $(AS_IN_A_RELEASE)
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --workspace $(FEATURES) --no-deps
	$(CARGO) test --locked $(FEATURES) --test tidy
	$(CARGO_DENY) check bans licenses sources

fix: setup ## Format, and apply what clippy can fix by itself
	cargo fmt --all
	$(CARGO) clippy --workspace --all-targets $(FEATURES) --fix --allow-dirty --allow-staged

bench: build ## Measure orders/s, failover and drill figures on this machine
	$(CARGO) bench --locked --profile dev $(FEATURES) --bench cluster
	$(CARGO) bench --locked --profile dev --package stampede-chaos --bench judge

planted-bugs: planted ## Show that the drill finds every planted bug, and nothing in clean runs
	$(BIN)/stampede-chaos planted-bugs --planted-binary $(PLANTED)

kill-matrix: planted ## Find every planted bug three times, and write the table of it into chaos/README.md
	$(BIN)/stampede-chaos planted-bugs --planted-binary $(PLANTED) --finds 3 --clean-runs 0 --table chaos/README.md

simulated-bugs: setup ## Show that simulation finds every planted bug that it can meet
	@for bug in $(SIMULATED_BUGS); do \
	  STAMPEDE_PLANTED_BUG=$$bug $(CARGO) test --locked --quiet $(FEATURES),planted-bugs --test simulation \
	    the_planted_bug_is_found_by_name || exit; \
	done

.PHONY: planted
planted: setup
	$(CARGO) build --locked --bin stampede $(FEATURES),planted-bugs
	cp $(BIN)/stampede $(PLANTED)
	$(CARGO) build --locked --workspace --bins $(FEATURES)

mutants: $(CARGO_MUTANTS) ## Change the checks in every small way and see that tests notice; many hours for all (MUTANTS=chaos/src/checks/reach.rs)
	CARGO_TARGET_DIR=$(CARGO_TARGET_DIR)/mutants $(CARGO_MUTANTS) mutants --package stampede-chaos --file '$(MUTANTS)' --output $(CARGO_TARGET_DIR)

report-check: ## Read, zoom and picture the drill's report in a headless Chromium, which must be there (CHROMIUM=program)
	cargo test --locked --package stampede-chaos --test report_in_browser -- --nocapture

build: setup ## Build stampede and stampede-chaos, and say where they are
	$(CARGO) build --locked --workspace --bins $(FEATURES)
	@echo "The commands are in $(BIN): export PATH=$(BIN):\$$PATH"

setup: libclang $(ROCKSDB_LIB)

$(ROCKSDB_LIB): | libclang
	@echo "RocksDB is compiled once: about twenty minutes on two cores. It is kept in $(ROCKSDB_DIR)."
	CARGO_TARGET_DIR=$(ROCKSDB_DIR)/build cargo build --locked -p librocksdb-sys
	cp "$$(find $(ROCKSDB_DIR)/build -name librocksdb.a | head -1)" $@.partial
	mv $@.partial $@
	rm -rf $(ROCKSDB_DIR)/build

$(CARGO_DENY):
	cargo install cargo-deny --version $(CARGO_DENY_VERSION) --locked --root $(CACHE)/tools

$(CARGO_MUTANTS):
	cargo install cargo-mutants --version $(CARGO_MUTANTS_VERSION) --locked --root $(CACHE)/tools

# bindgen reads RocksDB's header with libclang; it looks in these places by itself.
LIBCLANG_PLACES := /usr/lib/llvm-*/lib/libclang*.so* /usr/lib*/libclang*.so* /usr/lib/*/libclang*.so* \
  /opt/homebrew/opt/llvm/lib/libclang.dylib /usr/local/opt/llvm/lib/libclang.dylib \
  /Library/Developer/CommandLineTools/usr/lib/libclang.dylib
libclang:
	@have() { [ -n "$${LIBCLANG_PATH:-}" ] || [ -n "$$(ls -d $(LIBCLANG_PLACES) 2>/dev/null | grep -v libclang-cpp)" ]; }; \
	command -v c++ >/dev/null && have && exit 0; \
	root() { if [ "$$(id -u)" = 0 ]; then "$$@"; elif sudo -n true 2>/dev/null; then sudo -n "$$@"; else return 1; fi; }; \
	if command -v apt-get >/dev/null; then wanted="apt-get install -y g++ libclang-dev"; root apt-get update && root $$wanted || true; \
	elif command -v dnf >/dev/null; then wanted="dnf install -y gcc-c++ clang-devel"; root $$wanted || true; \
	elif command -v brew >/dev/null; then wanted="brew install llvm"; $$wanted || true; \
	else wanted="install a C++ compiler and libclang"; fi; \
	command -v c++ >/dev/null && have && exit 0; \
	echo "A C++ compiler and libclang are needed to build RocksDB. As root: $$wanted" >&2; exit 1

# Rules and alerts are tested by promtool, and against a Prometheus that runs. Without both, those tests say that they show nothing,
# and fail where CI=true. Debian's package also starts a server of its own where systemd runs; nothing here needs that one.
prometheus:
	@have() { command -v promtool >/dev/null && command -v prometheus >/dev/null; }; \
	have && exit 0; \
	root() { if [ "$$(id -u)" = 0 ]; then "$$@"; elif sudo -n true 2>/dev/null; then sudo -n "$$@"; else return 1; fi; }; \
	if command -v apt-get >/dev/null; then wanted="apt-get install -y --no-install-recommends prometheus"; \
	  root apt-get update && root $$wanted || true; \
	elif command -v dnf >/dev/null; then wanted="dnf install -y golang-github-prometheus"; root $$wanted || true; \
	elif command -v brew >/dev/null; then wanted="brew install prometheus"; $$wanted || true; \
	else wanted="install prometheus and promtool"; fi; \
	have || echo "Tests of rules and alerts show nothing here without Prometheus. As root: $$wanted" >&2
