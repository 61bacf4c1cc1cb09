# shellcheck shell=bash
# How each kind of setting is read and written. `read_KIND TARGET` prints the value, or fails if
# this host has no such thing. `write_KIND TARGET VALUE` fails if the system refuses.
#
#   file       a path below /proc or /sys
#   mask       the same, holding a mask of cores
#   channels   DEVICE combined|rx        queues of a device           ethtool -l, -L
#   ring       DEVICE rx                 entries of a queue           ethtool -g, -G
#   coalesce   DEVICE adaptive-rx        on or off                    ethtool -c, -C
#   feature    DEVICE ntuple-filters     on or off                    ethtool -k, -K
#   rxhash     DEVICE udp4|udp6          the letters of -N            ethtool -n, -N
#   rule       DEVICE udp4|udp6 PORT MASK  the queue, or none         ethtool -n, -U

# With another root there is no device to speak to, unless a test has one.
run_ethtool() {
    if [ -n "${TANDEM_TUNING_ETHTOOL:-}" ]; then
        "$TANDEM_TUNING_ETHTOOL" "$@"
    elif [ -z "$ROOT" ]; then
        PATH=$PATH:/usr/sbin:/sbin ethtool "$@"
    else
        return 1
    fi
}

# Only these are ever written to, whatever the file of old values says.
is_tunable_path() {
    [[ $1 =~ ^/(proc/sys|proc/irq|sys)/[A-Za-z0-9_.:@/-]+$ && $1 != */..* ]]
}

read_file() {
    [ -r "$ROOT$1" ] || return 1
    local text
    # Some cannot be read in spite of their mode.
    text=$(cat "$ROOT$1" 2>/dev/null) || return 1
    say "${text//$'\t'/ }"
}

write_file() {
    is_tunable_path "$1" || return 1
    # bash says a refusal itself, in more words than needed.
    { printf '%s\n' "$2" >"$ROOT$1"; } 2>/dev/null
}

read_mask() { read_file "$1"; }
write_mask() { write_file "$1" "$2"; }

# table_value SECTION NAME: of ethtool's tables, the number behind NAME in SECTION.
table_value() {
    awk -v section="$1" -v name="$2:" '
        index($0, section) == 1 { inside = 1; next }
        /^[A-Z].*:$/ { inside = 0 }
        inside && index($0, name) == 1 { print $NF; exit }'
}

read_channels() {
    local name=${2^} value
    [ "$2" != rx ] || name=RX
    value=$(run_ethtool -l "$1" 2>/dev/null | table_value "Current hardware" "$name") || return 1
    [[ $value =~ ^[0-9]+$ ]] && say "$value"
}

channels_max() {
    local name=${2^} value
    [ "$2" != rx ] || name=RX
    value=$(run_ethtool -l "$1" 2>/dev/null | table_value "Pre-set maximums" "$name") || return 1
    [[ $value =~ ^[0-9]+$ ]] && say "$value"
}

write_channels() {
    if [ "$2" = rx ]; then
        # veth wants both or neither.
        run_ethtool -L "$1" rx "$3" tx "$3" >/dev/null 2>&1 || run_ethtool -L "$1" rx "$3" >/dev/null 2>&1
    else
        run_ethtool -L "$1" "$2" "$3" >/dev/null 2>&1
    fi
}

read_ring() {
    local value
    value=$(run_ethtool -g "$1" 2>/dev/null | table_value "Current hardware" RX) || return 1
    [[ $value =~ ^[0-9]+$ ]] && say "$value"
}

ring_max() {
    local value
    value=$(run_ethtool -g "$1" 2>/dev/null | table_value "Pre-set maximums" RX) || return 1
    [[ $value =~ ^[0-9]+$ ]] && say "$value"
}

write_ring() { run_ethtool -G "$1" "$2" "$3" >/dev/null 2>&1; }

read_coalesce() {
    local value
    value=$(run_ethtool -c "$1" 2>/dev/null | awk '/^Adaptive RX:/ { print $3; exit }') || return 1
    [[ $value == on || $value == off ]] && say "$value"
}

write_coalesce() { run_ethtool -C "$1" "$2" "$3" >/dev/null 2>&1; }

read_feature() {
    local value
    value=$(run_ethtool -k "$1" 2>/dev/null | awk -v name="$2:" '$1 == name && $3 != "[fixed]" { print $2; exit }') || return 1
    [ -n "$value" ] && say "$value"
}

write_feature() {
    [ "$2" = ntuple-filters ] && run_ethtool -K "$1" ntuple "$3" >/dev/null 2>&1
}

read_rxhash() {
    local text letters=''
    text=$(run_ethtool -n "$1" rx-flow-hash "$2" 2>/dev/null) || return 1
    [[ $text != *"IP SA"* ]] || letters+=s
    [[ $text != *"IP DA"* ]] || letters+=d
    [[ $text != *"bytes 0 & 1"* ]] || letters+=f
    [[ $text != *"bytes 2 & 3"* ]] || letters+=n
    [ -n "$letters" ] && say "$letters"
}

write_rxhash() { run_ethtool -N "$1" rx-flow-hash "$2" "$3" >/dev/null 2>&1; }

# rules_of DEVICE: "ID udp4|udp6 PORT MASK QUEUE" of each rule on a destination port.
rules_of() {
    run_ethtool -n "$1" 2>/dev/null | awk '
        /^Filter:/ { id = $2; type = port = "" }
        /Rule Type: UDP over IPv4/ { type = "udp4" }
        /Rule Type: UDP over IPv6/ { type = "udp6" }
        /Dest port:/ { port = $3; mask = $5 }
        /Action: Direct to queue/ && type != "" && port != "" { print id, type, port, mask, $NF }'
}

# rule_field DEVICE TYPE PORT MASK COLUMN
rule_field() {
    rules_of "$1" | awk -v type="$2" -v port="$3" -v mask="$4" -v column="$5" '
        $2 == type && $3 == port && $4 == mask { print $column; exit }'
}

read_rule() {
    local queue
    queue=$(rule_field "$1" "$2" "$3" "$4" 5) || return 1
    say "${queue:-none}"
}

write_rule() {
    local device=$1 type=$2 port=$3 mask=$4 queue=$5 id
    id=$(rule_field "$device" "$type" "$port" "$mask" 1)
    if [ -n "$id" ]; then
        run_ethtool -U "$device" delete "$id" >/dev/null 2>&1 || return 1
    fi
    [ "$queue" != none ] || return 0
    run_ethtool -U "$device" flow-type "$type" dst-port "$port" m "$mask" action "$queue" >/dev/null 2>&1 || return 1
    # Some drivers accept a mask and forget it: then the rule would catch one port, or all.
    [ "$(read_rule "$device" "$type" "$port" "$mask")" = "$queue" ]
}

# read_setting KIND TARGET
read_setting() {
    local words
    read -ra words <<<"$2"
    "read_$1" "${words[@]}"
}

# write_setting KIND TARGET VALUE
write_setting() {
    local words
    read -ra words <<<"$2"
    case $1 in
    file | mask | channels | ring | coalesce | feature | rxhash | rule) "write_$1" "${words[@]}" "$3" ;;
    *) return 1 ;;
    esac
}

# is_as_wanted KIND VALUE OPERATOR WANTED
is_as_wanted() {
    case $1$3 in
    *'>=') [[ $2 =~ ^[0-9]+$ ]] && (($2 >= $4)) ;;
    mask=) [ "$(plain_mask "$2")" = "$(plain_mask "$4")" ] ;;
    *) [ "$2" = "$4" ] ;;
    esac
}
