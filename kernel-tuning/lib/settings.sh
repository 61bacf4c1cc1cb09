# shellcheck shell=bash
# The settings that a group wants: compared, shown, applied, undone.
#
# Each is KIND, TARGET, OPERATOR (= or >=, or - for what is only shown), WANTED and a word why.

GROUP=
KINDS=() TARGETS=() OPERATORS=() WANTEDS=() REASONS=() ADVICE=()
CHANGES=0 REFUSALS=0 DIFFERENCES=0
JSON_SETTINGS='' JSON_ADVICE=''

begin_group() {
    GROUP=$1
    KINDS=() TARGETS=() OPERATORS=() WANTEDS=() REASONS=() ADVICE=()
}

# want KIND TARGET OPERATOR VALUE REASON
want() {
    KINDS+=("$1") TARGETS+=("$2") OPERATORS+=("$3") WANTEDS+=("$4") REASONS+=("$5")
}

# show KIND TARGET REASON: shown by probe, never changed.
show() { want "$1" "$2" - '' "$3"; }

# advise TEXT: for a person to decide.
advise() { ADVICE+=("$1"); }

# label KIND TARGET: what a person would type.
label() {
    case $1 in
    file | mask)
        case $2 in
        /proc/sys/*)
            local name=${2#/proc/sys/}
            say "${name//\//.}"
            ;;
        *) say "$2" ;;
        esac
        ;;
    *) say "$1 $2" ;;
    esac
}

# compare INDEX: sets VALUE, and STATE to ok, differs, absent or shown.
compare() {
    local kind=${KINDS[$1]} operator=${OPERATORS[$1]}
    if ! VALUE=$(read_setting "$kind" "${TARGETS[$1]}"); then
        VALUE='' STATE=absent
    elif [ "$operator" = - ]; then
        STATE=shown
    elif is_as_wanted "$kind" "$VALUE" "$operator" "${WANTEDS[$1]}"; then
        STATE=ok
    else
        STATE=differs
    fi
}

wanted_text() {
    case ${OPERATORS[$1]} in
    -) ;;
    '>=') say ">= ${WANTEDS[$1]}" ;;
    *) say "${WANTEDS[$1]}" ;;
    esac
}

report_group() {
    local index text
    [ "$JSON" = yes ] || printf '%s\n' "$GROUP"
    for index in "${!KINDS[@]}"; do
        compare "$index"
        [ "$STATE" != differs ] || DIFFERENCES=$((DIFFERENCES + 1))
        if [ "$JSON" = yes ]; then
            add_json_setting "$index"
        else
            printf '  %-8s %-52s %-18s %-18s %s\n' "$STATE" "$(label "${KINDS[index]}" "${TARGETS[index]}")" \
                "${VALUE:--}" "$(wanted_text "$index")" "${REASONS[index]}"
        fi
    done
    for text in "${ADVICE[@]}"; do
        if [ "$JSON" = yes ]; then
            JSON_ADVICE+="${JSON_ADVICE:+,}{\"group\":$(json_text "$GROUP"),\"text\":$(json_text "$text")}"
        else
            printf '  %s\n' "${text//$'\n'/$'\n'  }"
        fi
    done
}

json_text() {
    local text=$1
    text=${text//\\/\\\\}
    text=${text//\"/\\\"}
    text=${text//$'\n'/\\n}
    text=${text//$'\t'/\\t}
    # Nothing else below a space comes from the kernel's files; if it does, it is left out.
    printf '"%s"' "${text//[$'\001'-$'\037']/}"
}

add_json_setting() {
    local index=$1 value=null wanted=null
    [ "$STATE" = absent ] || value=$(json_text "$VALUE")
    [ "${OPERATORS[index]}" = - ] || wanted=$(json_text "$(wanted_text "$index")")
    JSON_SETTINGS+="${JSON_SETTINGS:+,}{\"group\":$(json_text "$GROUP"),\"kind\":$(json_text "${KINDS[index]}"),"
    JSON_SETTINGS+="\"target\":$(json_text "${TARGETS[index]}"),\"state\":$(json_text "$STATE"),"
    JSON_SETTINGS+="\"value\":$value,\"wanted\":$wanted,\"reason\":$(json_text "${REASONS[index]}")}"
}

finish_probe() {
    if [ "$JSON" = yes ]; then
        printf '{"settings":[%s],"advice":[%s]}\n' "$JSON_SETTINGS" "$JSON_ADVICE"
    elif [ "$DIFFERENCES" -eq 0 ]; then
        say "everything is as it should be"
    else
        say "$DIFFERENCES differ; apply sets them"
    fi
    [ "$DIFFERENCES" -eq 0 ]
}

apply_group() {
    local index
    for index in "${!KINDS[@]}"; do
        compare "$index"
        if [ "$STATE" = differs ] && ! change "${KINDS[index]}" "${TARGETS[index]}" "$VALUE" "${WANTEDS[index]}"; then
            warn "refused by the system: $(label "${KINDS[index]}" "${TARGETS[index]}") stays $VALUE"
            REFUSALS=$((REFUSALS + 1))
        fi
    done
}

# change KIND TARGET OLD NEW: writes, having noted what was there.
change() {
    local kind=$1 target=$2 old=$3 new=$4 is_new=no
    if [ "$DRY_RUN" = yes ]; then
        say "would set $(label "$kind" "$target"): ${old:-none} -> $new"
        CHANGES=$((CHANGES + 1))
        return 0
    fi
    is_noted "$kind" "$target" || is_new=yes
    # Before the change: if this script is killed in between, undo still knows.
    [ "$is_new" = no ] || note_old "$kind" "$target" "$old"
    if ! write_setting "$kind" "$target" "$new"; then
        [ "$is_new" = no ] || forget "$kind" "$target"
        return 1
    fi
    say "$(label "$kind" "$target"): ${old:-none} -> $new"
    CHANGES=$((CHANGES + 1))
}

finish_apply() {
    if [ "$CHANGES" -eq 0 ] && [ "$REFUSALS" -eq 0 ]; then
        say "nothing to do"
    elif [ "$DRY_RUN" = yes ]; then
        say "$CHANGES would be changed"
    else
        say "$CHANGES changed, $REFUSALS refused; undo restores what was there"
    fi
    [ "$REFUSALS" -eq 0 ]
}

# The file of old values: KIND, TARGET and OLD with tabs between them, the first change first.

is_noted() {
    [ -f "$STATE_FILE" ] && awk -F '\t' -v kind="$1" -v target="$2" \
        '$1 == kind && $2 == target { found = 1 } END { exit !found }' "$STATE_FILE"
}

note_old() {
    # Whoever could write there could have root write to the kernel's files.
    (umask 077 && printf '%s\t%s\t%s\n' "$1" "$2" "$3" >>"$STATE_FILE") ||
        fail "cannot keep the old values in $STATE_FILE; nothing was changed (root is needed)"
}

forget() {
    local rest
    rest=$(awk -F '\t' -v kind="$1" -v target="$2" '!($1 == kind && $2 == target)' "$STATE_FILE")
    if [ -z "$rest" ]; then
        rm -f "$STATE_FILE"
    else
        printf '%s\n' "$rest" >"$STATE_FILE"
    fi
}

undo_all() {
    local lines=() index kind target old value
    if [ ! -s "$STATE_FILE" ]; then
        say "nothing to undo"
        return 0
    fi
    mapfile -t lines <"$STATE_FILE"
    for ((index = ${#lines[@]} - 1; index >= 0; index--)); do
        IFS=$'\t' read -r kind target old <<<"${lines[index]}"
        is_kind "$kind" || fail "$STATE_FILE is damaged at line $((index + 1))"
        value=$(read_setting "$kind" "$target") || value='?'
        if [ "$DRY_RUN" = yes ]; then
            say "would restore $(label "$kind" "$target"): ${value:-none} -> ${old:-none}"
        elif [ "$value" = "$old" ] || write_setting "$kind" "$target" "$old"; then
            say "$(label "$kind" "$target"): ${value:-none} -> ${old:-none}"
            forget "$kind" "$target"
        else
            warn "cannot restore $(label "$kind" "$target"): it stays $value, not $old"
            REFUSALS=$((REFUSALS + 1))
        fi
    done
    [ "$REFUSALS" -eq 0 ]
}

is_kind() { [[ " file mask channels ring coalesce feature rxhash rule " == *" $1 "* ]]; }
