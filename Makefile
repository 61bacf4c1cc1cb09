# The two commands that matter: `make run` and `make test`. Both install what is missing.

.DEFAULT_GOAL := help
.PHONY: help run build install test check bench docs man clean

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

# Where things go. Units are looked for in PREFIX/lib/systemd/system with any of the usual prefixes;
# the settings are read from /etc, whatever the prefix.
PREFIX ?= /usr/local
SYSCONFDIR ?= /etc
DESTDIR ?=
BINDIR := $(PREFIX)/bin
# The programs as built; another folder for a cross or debug build.
BUILT ?= $(TARGET)/release
DAEMONS := tandem-relay tandem-control tandem-sip-proxy
UNIT = sed -e 's|@BINDIR@|$(BINDIR)|g' -e 's|@SYSCONFDIR@|$(SYSCONFDIR)|g'

install: ## Put programs, units, man pages and settings into place (after make build; PREFIX, DESTDIR)
	@test -x $(BUILT)/tandem || { echo "make install: $(BUILT)/tandem is not there: make build first" >&2; exit 1; }
	@install -d $(DESTDIR)$(BINDIR) $(DESTDIR)$(SYSCONFDIR)/tandem
	@install -m 755 $(addprefix $(BUILT)/,tandem $(DAEMONS)) $(DESTDIR)$(BINDIR)
	@install -d $(DESTDIR)$(PREFIX)/lib/systemd/system $(DESTDIR)$(PREFIX)/lib/sysusers.d
	@install -m 644 tools/systemd/tandem.target $(DESTDIR)$(PREFIX)/lib/systemd/system
	@for unit in $(DAEMONS); do \
	    $(UNIT) tools/systemd/$$unit.service.in >$(DESTDIR)$(PREFIX)/lib/systemd/system/$$unit.service || exit; \
	    chmod 644 $(DESTDIR)$(PREFIX)/lib/systemd/system/$$unit.service || exit; \
	done
	@install -m 644 tools/systemd/tandem.sysusers $(DESTDIR)$(PREFIX)/lib/sysusers.d/tandem.conf
	@install -d $(DESTDIR)$(PREFIX)/share/man/man1
	@$(BUILT)/tandem man $(DESTDIR)$(PREFIX)/share/man/man1
	@install -d $(DESTDIR)$(PREFIX)/share/tandem/kernel-tuning/lib
	@install -m 755 kernel-tuning/probe kernel-tuning/apply kernel-tuning/undo $(DESTDIR)$(PREFIX)/share/tandem/kernel-tuning
	@install -m 644 kernel-tuning/lib/*.sh $(DESTDIR)$(PREFIX)/share/tandem/kernel-tuning/lib
	@install -m 644 kernel-tuning/README.md $(DESTDIR)$(PREFIX)/share/tandem/kernel-tuning
	@install -d $(DESTDIR)$(PREFIX)/share/doc/tandem
	@install -m 644 docs/tandem.toml docs/configuration.md docs/operations.md tools/systemd/tandem-control.socket.example $(DESTDIR)$(PREFIX)/share/doc/tandem
	@test -e $(DESTDIR)$(SYSCONFDIR)/tandem/tandem.toml \
	    || install -m 644 tools/systemd/tandem.toml $(DESTDIR)$(SYSCONFDIR)/tandem/tandem.toml
	@echo "installed; next: systemd-sysusers; systemctl daemon-reload;" \
	    "systemctl enable --now tandem.target $(DAEMONS)"

test: ## Install what is missing and run every test
	@tools/setup.sh test
	@cargo run --locked --quiet --package xtask -- test

check: ## Do all that .ci/run does, in its order
	@.ci/run

bench: ## Count, time and compare with rtpengine (as root; a quarter of an hour, QUICK=1: less)
	@tools/setup.sh bench
	@cargo run --release --locked --quiet --package bench --bin count-instructions
	@cargo bench --locked --package bench
	@cargo build --release --locked --bins $(PROGRAMS) --package compare-relays
	@exec $(TARGET)/release/compare-relays $(if $(QUICK),--quick)

docs: ## Write docs/configuration.md and docs/tandem.toml from the code
	@cargo run --locked --quiet --package xtask -- docs

man: build ## Write manual pages to target/man
	@$(TARGET)/release/tandem man $(TARGET)/man
	@echo "man -l $(TARGET)/man/tandem.1"

clean: ## Remove what was built (not the data folder)
	@cargo clean
