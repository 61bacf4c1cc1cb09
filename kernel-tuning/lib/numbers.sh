# shellcheck shell=bash
# Lists and masks of cores, ranges of ports: pure functions.

# Whether a text is a list such as 2,3 or 2-5,8.
is_list() {
    [[ $1 =~ ^[0-9]{1,4}(-[0-9]{1,4})?(,[0-9]{1,4}(-[0-9]{1,4})?)*$ ]]
}

# Prints each number of a list on a line, in its order.
expand_list() {
    local part number
    for part in ${1//,/ }; do
        for ((number = 10#${part%-*}; number <= 10#${part#*-}; number++)); do say "$number"; done
    done
}

# mask_of CORE...: as the kernel writes masks, 32 cores to a group.
mask_of() {
    local words=() core text='' index
    for core in "$@"; do
        words[core / 32]=$((${words[core / 32]:-0} | 1 << core % 32))
    done
    local highest=0
    for index in "${!words[@]}"; do highest=$index; done
    for ((index = highest; index >= 0; index--)); do
        text+=$(printf '%08x' "${words[index]:-0}"),
    done
    say "${text%,}"
}

# A mask without leading zeros, so that those of hosts with more cores compare equal.
plain_mask() {
    local digits=${1//,/}
    digits=${digits,,}
    while [[ $digits == 0?* ]]; do digits=${digits#0}; done
    say "$digits"
}

is_port_range() {
    [[ $1 =~ ^([0-9]{4,5})-([0-9]{4,5})$ ]] || return 1
    local first=$((10#${BASH_REMATCH[1]})) last=$((10#${BASH_REMATCH[2]}))
    ((first >= 1024 && first % 2 == 0 && last > first && last <= 65535))
}

# slice_of WORKER: its first and last port. The relay divides its range in the same way
# (relay/wire/src/partition.rs).
slice_of() {
    local first=${PORTS%-*} last=${PORTS#*-}
    local length=$(((last - first + 1) / WORKERS & ~1))
    say "$((first + $1 * length)) $((first + ($1 + 1) * length - 1))"
}

# blocks_of FIRST LAST: the fewest "PORT MASK" that cover a range, where the bits of MASK are
# those that do not matter, as ethtool has it.
blocks_of() {
    local at=$1 last=$2 size
    while ((at <= last)); do
        size=1
        while ((at % (size * 2) == 0 && at + size * 2 - 1 <= last)); do size=$((size * 2)); done
        printf '%d 0x%x\n' "$at" "$((size - 1))"
        at=$((at + size))
    done
}

# add_range LIST FIRST-LAST: the ranges of both, merged as the kernel prints them.
add_range() {
    local part first last text='' low='' high=''
    while IFS=- read -r first last; do
        last=${last:-$first}
        if [ -n "$low" ] && ((first <= high + 1)); then
            ((last <= high)) || high=$last
            continue
        fi
        [ -z "$low" ] || text+=,$(range_text "$low" "$high")
        low=$first high=$last
    done < <(for part in ${1//,/ } "$2"; do say "$part"; done | sort -n)
    text+=,$(range_text "$low" "$high")
    say "${text#,}"
}

range_text() {
    if [ "$1" = "$2" ]; then say "$1"; else say "$1-$2"; fi
}
