# The two commands that matter: `make run` and `make test`. Both install what is missing.

.DEFAULT_GOAL := help
.PHONY: help run build test check bench docs man clean

# Where cargo puts programs, as cargo itself would find out.
TARGET := $(or $(CARGO_TARGET_DIR),target)
PROGRAMS := --package relay --package control --package sip-proxy --package tandem-ctl

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: build ## Install what is missing, build, and start everything with two accounts to try
	@exec $(TARGET)/release/tandem run --demo

build: ## Build the four programs in target/release
	@tools/setup.sh build
	@cargo build --release --locked --bins $(PROGRAMS)

test: ## Install what is missing and run every test
	@tools/setup.sh test
	@cargo run --locked --quiet --package xtask -- test

check: ## Do all that .ci/run does, in its order
	@.ci/run

bench: ## Run the benches, then our relay beside rtpengine (as root; half an hour, QUICK=1: minutes)
	@tools/setup.sh build
	@cargo bench --locked --package bench
	@cargo build --release --locked --bins --package relay --package control --package compare-relays
	@exec $(TARGET)/release/compare-relays $(if $(QUICK),--quick)

docs: ## Write docs/configuration.md and docs/tandem.toml from the code
	@cargo run --locked --quiet --package xtask -- docs

man: build ## Write manual pages to target/man
	@$(TARGET)/release/tandem man $(TARGET)/man
	@echo "man -l $(TARGET)/man/tandem.1"

clean: ## Remove what was built (not the data folder)
	@cargo clean
