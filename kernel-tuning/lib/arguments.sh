# shellcheck shell=bash
# Options. What is not given is asked of `tandem doctor --tuning-arguments`, which reads
# tandem.toml as the daemons do.

# shellcheck disable=SC2034 # the scripts print it
OPTIONS_HELP='  --device NAME    a network device that media comes in by; may be repeated
  --ports A-B      the media ports (relay.ports)
  --workers N      workers of the relay
  --cores LIST     their cores, in order, such as 2,3 or 2-5 (default: 0 to N-1)
  --ipv6           media comes by IPv6, too
  --config FILE    the tandem.toml that the above are read from, if they are not given
  --only LIST      these groups only: queues irq steering sysctl ports cpu busy_poll conntrack
                   isolation limits
  --skip LIST      all but these groups
  --busy-poll US   microseconds of busy polling; 0, or left out: as it is
  --state FILE     where old values are kept (default: /run/tandem-kernel-tuning.state)'

DEVICES=()
PORTS=
WORKERS=
CORES=()
IPV6=no
BUSY_POLL_US=0
STATE_FILE=${TANDEM_TUNING_STATE:-/run/tandem-kernel-tuning.state}
JSON=no
DRY_RUN=no
CONFIG=()
ONLY=
SKIP=

# parse_arguments EXTRA ARGUMENT...: EXTRA is what this script takes besides: json, dry-run, or
# undo (which takes hardly anything).
parse_arguments() {
    local extra=$1
    shift
    while [ $# -gt 0 ]; do
        case $1 in
        -h | --help)
            usage
            exit 0
            ;;
        --json)
            [ "$extra" = json ] || unknown_argument "$1"
            JSON=yes
            ;;
        --dry-run)
            [ "$extra" != json ] || unknown_argument "$1"
            DRY_RUN=yes
            ;;
        --state)
            [ $# -ge 2 ] || fail "--state needs a file"
            STATE_FILE=$2
            shift
            ;;
        *)
            [ "$extra" != undo ] || unknown_argument "$1"
            parse_system_argument "$@"
            [ "$1" = --ipv6 ] || shift
            ;;
        esac
        shift
    done
    [ "$extra" = undo ] || complete_arguments
}

unknown_argument() {
    usage >&2
    fail "unknown argument: $1"
}

# What describes the system: the same words that `tandem doctor --tuning-arguments` prints.
parse_system_argument() {
    local option=$1 value=${2:-}
    case $option in
    --ipv6)
        IPV6=yes
        return
        ;;
    --device | --ports | --workers | --cores | --config | --only | --skip | --busy-poll)
        [ $# -ge 2 ] || fail "$option needs a value"
        ;;
    *) unknown_argument "$option" ;;
    esac
    case $option in
    --device)
        # It becomes part of paths.
        [[ $value =~ ^[A-Za-z0-9_.:@-]{1,15}$ && $value != .* ]] || fail "no name of a device: $value"
        DEVICES+=("$value")
        ;;
    --ports)
        is_port_range "$value" || fail "ports are written as FIRST-LAST, the first even and 1024 or more: $value"
        PORTS=$value
        ;;
    --workers)
        [[ $value =~ ^[1-9][0-9]{0,2}$ ]] || fail "workers are a number from 1: $value"
        WORKERS=$value
        ;;
    --cores)
        is_list "$value" || fail "cores are written as 2,3 or 2-5: $value"
        mapfile -t CORES < <(expand_list "$value")
        ;;
    --config) CONFIG=(--config "$value") ;;
    --only) ONLY=$(chosen_groups "$value") ;;
    --skip) SKIP=$(chosen_groups "$value") ;;
    --busy-poll)
        [[ $value =~ ^[0-9]{1,4}$ ]] || fail "busy polling takes 0 to 9999 microseconds: $value"
        BUSY_POLL_US=$value
        ;;
    esac
}

# Checks a list of groups and prints it with spaces around each.
chosen_groups() {
    local group
    for group in ${1//,/ }; do
        [[ " ${GROUPS_ALL[*]} " == *" $group "* ]] || fail "there is no group $group, only ${GROUPS_ALL[*]}"
    done
    printf ' %s ' "${1//,/ }"
}

is_chosen() {
    [ -z "$ONLY" ] || [[ $ONLY == *" $1 "* ]] || return 1
    [[ $SKIP != *" $1 "* ]]
}

# Fills in what was not given.
complete_arguments() {
    if [ -z "$PORTS" ] || [ -z "$WORKERS" ] || [ ${#DEVICES[@]} -eq 0 ]; then
        ask_doctor
    fi
    if [ -z "$PORTS" ] || [ -z "$WORKERS" ]; then
        fail "give --ports and --workers, or put tandem into PATH (or its path into \$TANDEM)"
    fi
    (((${PORTS#*-} - ${PORTS%-*} + 1) / WORKERS >= 2)) || fail "ports $PORTS are too few for $WORKERS workers"
    local core
    if [ ${#CORES[@]} -eq 0 ]; then
        for ((core = 0; core < WORKERS; core++)); do CORES+=("$core"); done
    fi
}

# What the settings say, where no argument has said it.
ask_doctor() {
    local tandem=${TANDEM:-tandem} arguments=()
    command -v "$tandem" >/dev/null 2>&1 || return 0
    local ports=$PORTS workers=$WORKERS cores=("${CORES[@]}") devices=("${DEVICES[@]}")
    local text
    text=$("$tandem" doctor --tuning-arguments "${CONFIG[@]}") || fail "tandem cannot read its settings"
    mapfile -t arguments <<<"$text"
    DEVICES=()
    set -- "${arguments[@]}"
    while [ $# -gt 0 ]; do
        parse_system_argument "$@"
        [ "$1" = --ipv6 ] || shift
        shift
    done
    [ -z "$ports" ] || PORTS=$ports
    [ ${#devices[@]} -eq 0 ] || DEVICES=("${devices[@]}")
    [ ${#cores[@]} -eq 0 ] || CORES=("${cores[@]}")
    if [ -n "$workers" ]; then
        WORKERS=$workers
        # Cores of another number of workers are not theirs.
        [ ${#cores[@]} -gt 0 ] || CORES=("${CORES[@]:0:workers}")
    fi
}

# core_of WORKER: workers beyond the cores share them.
core_of() {
    say "${CORES[$(($1 % ${#CORES[@]}))]}"
}

# The cores of all workers, each once.
worker_cores() {
    local worker
    for ((worker = 0; worker < WORKERS; worker++)); do core_of "$worker"; done | sort -nu
}
