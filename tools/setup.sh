#!/usr/bin/env bash
# Installs what this machine lacks, from Debian's packages, and nothing else.
#
#   tools/setup.sh build   what `make run` needs: a C compiler and linker (SQLite is compiled in), libopus
#   tools/setup.sh test    the same, and the phones and proxies that the scenarios talk to
#   tools/setup.sh ci      the same, and the linters
#   tools/setup.sh bench   what `make bench` needs: the peers, and what counts instructions
#
# As root it installs, otherwise by sudo; without either it prints the command to run.
set -euo pipefail

# FILE-OR-COMMAND:PACKAGE. The package is asked for only if the file or command is missing.
readonly BUILD=(
    cc:gcc
    /usr/include/stdlib.h:libc6-dev
    git:git
    pkg-config:pkg-config
    /usr/include/opus/opus.h:libopus-dev
)
readonly TEST=(
    sipp:sip-tester
    baresip:baresip-core
    /usr/sbin/kamailio:kamailio
    /usr/share/doc/kamailio-extra-modules:kamailio-extra-modules
    ip:iproute2
    /usr/sbin/ethtool:ethtool
    strace:strace
    systemd-analyze:systemd
    /usr/sbin/nft:nftables
    setpriv:util-linux
    /usr/include/gsm.h:libgsm1-dev
)
readonly BENCH=(
    /usr/bin/rtpengine:rtpengine-daemon
    /usr/sbin/kamailio:kamailio
    /usr/share/doc/kamailio-extra-modules:kamailio-extra-modules
    ip:iproute2
    taskset:util-linux
    valgrind:valgrind
)
readonly CI=(
    shellcheck:shellcheck
)

is_missing() {
    case $1 in
    /*) [ ! -e "$1" ] ;;
    *) ! command -v "$1" >/dev/null 2>&1 ;;
    esac
}

packages_missing() {
    local need
    for need in "$@"; do
        if is_missing "${need%%:*}"; then
            echo "${need#*:}"
        fi
    done
}

# Debian starts a daemon when it is installed. A Kamailio on port 5060 would be in the way of what
# the person wants to run, so none is started now, nor at the next boot. So with rtpengine.
install_as_root() {
    local policy=/usr/sbin/policy-rc.d has_policy=yes package
    if [ ! -e "$policy" ]; then
        has_policy=no
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod 755 "$policy"
    fi
    local result=0
    apt_install "$@" || result=$?
    if [ "$has_policy" = no ]; then
        rm -f "$policy"
    fi
    if [ "$result" -eq 0 ] && [ -d /run/systemd/system ]; then
        for package in "$@"; do
            case $package in
            kamailio | rtpengine-daemon) systemctl disable --quiet "$package" || true ;;
            esac
        done
    fi
    return "$result"
}

apt_install() {
    export DEBIAN_FRONTEND=noninteractive
    local options=(-y -q --no-install-recommends)
    # Lists may be missing or too old; both show as a failed first attempt.
    apt-get install "${options[@]}" "$@" </dev/null ||
        { apt-get update -q </dev/null && apt-get install "${options[@]}" "$@" </dev/null; }
}

install_packages() {
    if ! command -v apt-get >/dev/null 2>&1; then
        echo "setup: this is not Debian; please install the equivalents of: $*" >&2
        return 1
    fi
    if [ "$(id -u)" -eq 0 ]; then
        echo "setup: installing $*"
        install_as_root "$@"
        return
    fi
    if command -v sudo >/dev/null 2>&1; then
        echo "setup: installing $* by sudo"
        sudo "$0" install "$@" && return
    fi
    echo "setup: missing, and this user could not install it: $*" >&2
    echo "setup: please run as root: apt-get update && apt-get install --no-install-recommends $*" >&2
    return 1
}

require_cargo() {
    if ! command -v cargo >/dev/null 2>&1; then
        echo "setup: there is no cargo in PATH; install a Rust toolchain (https://rustup.rs)" >&2
        return 1
    fi
}

# A minimal toolchain lacks them, and no package has them for another toolchain.
require_components() {
    local component
    for component in rustfmt clippy; do
        if ! cargo "${component/rustfmt/fmt}" --version >/dev/null 2>&1; then
            rustup component add "$component"
        fi
    done
}

main() {
    local needs=()
    case ${1:-} in
    build) needs=("${BUILD[@]}") ;;
    test) needs=("${BUILD[@]}" "${TEST[@]}") ;;
    ci) needs=("${BUILD[@]}" "${TEST[@]}" "${CI[@]}") ;;
    bench) needs=("${BUILD[@]}" "${BENCH[@]}") ;;
    install)
        shift
        install_as_root "$@"
        return
        ;;
    *)
        echo "usage: $0 build|test|ci|bench" >&2
        return 2
        ;;
    esac
    require_cargo
    local missing=()
    mapfile -t missing < <(packages_missing "${needs[@]}")
    if [ "${#missing[@]}" -gt 0 ]; then
        install_packages "${missing[@]}"
    fi
    if [ "$1" = ci ]; then
        require_components
    fi
}

main "$@"
