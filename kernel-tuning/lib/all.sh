# shellcheck shell=bash
# What the three scripts share. Sourced, never run.
#
#   arguments.sh  options, and what tandem.toml says of device, cores and ports
#   numbers.sh    lists and masks of cores, ranges of ports
#   kinds.sh      how each kind of setting is read and written
#   settings.sh   the list of wanted settings: compared, shown, applied, undone
#   groups.sh     which settings are wanted, and why

TUNING_FOLDER=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")

# Another folder with /proc and /sys in it: for tests.
ROOT=${TANDEM_TUNING_ROOT:-}

# In the order of applying: queues decide which interrupts and files there are.
# shellcheck disable=SC2034 # the scripts loop over it
GROUPS_ALL=(queues irq steering sysctl ports cpu busy_poll conntrack isolation limits)

say() { printf '%s\n' "$*"; }
warn() { printf '%s: %s\n' "$(basename "$0")" "$*" >&2; }
fail() {
    warn "$*"
    exit 2
}

# shellcheck source=kernel-tuning/lib/arguments.sh
. "$TUNING_FOLDER/arguments.sh"
# shellcheck source=kernel-tuning/lib/numbers.sh
. "$TUNING_FOLDER/numbers.sh"
# shellcheck source=kernel-tuning/lib/kinds.sh
. "$TUNING_FOLDER/kinds.sh"
# shellcheck source=kernel-tuning/lib/settings.sh
. "$TUNING_FOLDER/settings.sh"
# shellcheck source=kernel-tuning/lib/groups.sh
. "$TUNING_FOLDER/groups.sh"
