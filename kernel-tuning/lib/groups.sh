# shellcheck shell=bash
# Which settings are wanted, group by group. README.md says of each number why it is this one.

RING_ENTRIES=4096
BUFFER_BYTES=4194304
BACKLOG_PACKETS=10000
BUDGET_PACKETS=600
FILES_APART=128
LOCKED_KIB_PER_WORKER=1280

# queue_folders DEVICE rx|tx: the numbers of its queues.
queues_of() {
    local folder
    for folder in "$ROOT/sys/class/net/$1/queues/$2-"*; do
        [ -d "$folder" ] || continue
        say "${folder##*-}"
    done | sort -n
}

count_of() { wc -l | tr -d ' '; }

each_device() {
    local device
    for device in "${DEVICES[@]}"; do
        if [ -d "$ROOT/sys/class/net/$device" ]; then
            "$1" "$device"
        else
            warn "there is no device $device"
            REFUSALS=$((REFUSALS + 1))
        fi
    done
}

# Hardware queues ------------------------------------------------------------------------------

plan_queues() { each_device plan_queues_of; }

plan_queues_of() {
    local device=$1 kind max wanted
    for kind in combined rx; do
        max=$(channels_max "$device" "$kind") || continue
        wanted=$((WORKERS < max ? WORKERS : max))
        want channels "$device $kind" = "$wanted" "a queue for each worker"
        [ "$wanted" -eq "$WORKERS" ] ||
            advise "$device has $max queues at most for $WORKERS workers: software spreads (steering)"
        break
    done
    if max=$(ring_max "$device"); then
        want ring "$device rx" '>=' $((RING_ENTRIES < max ? RING_ENTRIES : max)) "a burst fits while the core is away"
    fi
    if read_coalesce "$device" adaptive-rx >/dev/null; then
        want coalesce "$device adaptive-rx" = on "not an interrupt for each packet"
    fi
    for kind in udp4 udp6; do
        if read_rxhash "$device" "$kind" >/dev/null; then
            want rxhash "$device $kind" = sdfn "ports spread the streams of one peer"
        fi
    done
}

# Interrupts -----------------------------------------------------------------------------------

plan_irq() { each_device plan_irq_of; }

plan_irq_of() {
    local device=$1 queue=0 irq
    for irq in $(irqs_of "$device"); do
        want file "/proc/irq/$irq/smp_affinity_list" = "$(core_of "$queue")" "queue $queue of $device, worker $((queue % WORKERS))"
        queue=$(((queue + 1) % WORKERS))
    done
}

# irqs_of DEVICE: numbers of the interrupts of its receive queues, in the order of the queues.
# Drivers name them after the device (eth0-TxRx-3), after virtio's own device (virtio2-input.3),
# or after the slot of the bus (mlx5_comp3@pci:0000:03:00.0).
irqs_of() {
    local device=$1 link
    link=$(readlink "$ROOT/sys/class/net/$device/device" || true)
    [ -r "$ROOT/proc/interrupts" ] || return 0
    awk -v device="$device" -v link="${link##*/}" '
        function is_of(name, owner,    rest, at) {
            if (owner == "") return 0
            at = index(name, owner)
            # i40e puts its own name and a hyphen before.
            if (at == 0 || (at > 1 && substr(name, at - 1, 1) != "-")) return 0
            rest = tolower(substr(name, at + length(owner)))
            return rest ~ /^[-.]/ && rest ~ /[0-9]$/ && rest !~ /output|config|-tx-/
        }
        $1 ~ /^[0-9]+:$/ {
            name = $NF
            is_slot = link != "" && name ~ /_comp[0-9]+@pci:/ && substr(name, length(name) - length(link)) == ":" link
            if (!is_slot && !is_of(name, device) && !is_of(name, link)) next
            queue = name
            sub(/@.*/, "", queue)
            match(queue, /[0-9]+$/)
            print substr(queue, RSTART) + 0, $1 + 0
        }' "$ROOT/proc/interrupts" | sort -n | awk '{ print $2 }'
}

warn_of_irqbalance() {
    local comm
    for comm in "$ROOT"/proc/[0-9]*/comm; do
        if [ "$(cat "$comm" 2>/dev/null)" = irqbalance ]; then
            warn "irqbalance runs and will move the interrupts again: systemctl disable --now irqbalance, or IRQBALANCE_BANNED_CPULIST=$(worker_cores | paste -sd,)"
            return
        fi
    done
}

# Steering: which core does the kernel's share of the work --------------------------------------

plan_steering() { each_device plan_steering_of; }

plan_steering_of() {
    local device=$1 queues
    queues=$(queues_of "$device" rx | count_of)
    if [ "$queues" -ge "$WORKERS" ] && [ "$WORKERS" -gt 1 ] && read_feature "$device" ntuple-filters >/dev/null; then
        if has_rules "$device"; then
            plan_xps "$device"
            return
        fi
        warn "$device refuses rules with masks on the port; RPS does it in software"
    elif [ "$WORKERS" -gt 1 ]; then
        warn_no_rules "$device" "$queues"
    fi
    plan_rps "$device" "$queues"
    plan_xps "$device"
}

warn_no_rules() {
    if [ "$2" -lt "$WORKERS" ]; then
        warn "$1 has $2 queues for $WORKERS workers; RPS spreads in software, without regard to ports"
    else
        warn "$1 has no flow-director rules (ntuple); its hash spreads, without regard to ports"
    fi
}

# has_rules DEVICE: wants a rule for each block of ports. Whether a device takes masks is known
# only when it is asked to: `apply` sets the rules here, all or none.
has_rules() {
    local device=$1 count=${#KINDS[@]} worker first last port mask type types=(udp4)
    [ "$IPV6" = no ] || types+=(udp6)
    want feature "$device ntuple-filters" = on "rules steer by port"
    for ((worker = 0; worker < WORKERS; worker++)); do
        read -r first last < <(slice_of "$worker")
        for type in "${types[@]}"; do
            while read -r port mask; do
                want rule "$device $type $port $mask" = "$worker" "ports of worker $worker to its queue"
            done < <(blocks_of "$first" "$last")
        done
    done
    local rules=$((${#KINDS[@]} - count - 1))
    [ "$rules" -eq "$WORKERS" ] || advise "$device: $rules rules; with a power of two of ports for each worker, such as $(tidy_ports), it is one for each"
    [ "$(basename "$0")" = apply ] && [ "$DRY_RUN" = no ] || return 0
    apply_rules "$count" || return 1
}

# A range that divides into power-of-two slices.
tidy_ports() {
    local slice=1 count=$((${PORTS#*-} - ${PORTS%-*} + 1))
    while ((slice * 2 * WORKERS <= count)); do slice=$((slice * 2)); done
    # What is not a multiple of the slice would be cut.
    local first=$(((32768 + slice - 1) / slice * slice))
    say "[$first, $((first + slice * WORKERS - 1))]"
}

# apply_rules FIRST: the settings from FIRST on, all or none.
apply_rules() {
    local index back from=$1 done_at=()
    for ((index = from; index < ${#KINDS[@]}; index++)); do
        compare "$index"
        [ "$STATE" = differs ] || continue
        if change "${KINDS[index]}" "${TARGETS[index]}" "$VALUE" "${WANTEDS[index]}"; then
            done_at+=("$index" "$VALUE")
            continue
        fi
        for ((back = ${#done_at[@]} - 2; back >= 0; back -= 2)); do
            take_back "${KINDS[done_at[back]]}" "${TARGETS[done_at[back]]}" "${done_at[back + 1]}"
        done
        KINDS=("${KINDS[@]:0:from}") TARGETS=("${TARGETS[@]:0:from}") OPERATORS=("${OPERATORS[@]:0:from}")
        WANTEDS=("${WANTEDS[@]:0:from}") REASONS=("${REASONS[@]:0:from}") ADVICE=()
        return 1
    done
}

take_back() {
    write_setting "$1" "$2" "$3" || {
        warn "cannot take back $(label "$1" "$2")"
        return
    }
    say "$(label "$1" "$2"): back to $3"
    forget "$1" "$2"
    CHANGES=$((CHANGES - 1))
}

# plan_rps DEVICE QUEUES: with fewer queues than workers, each queue hands packets to all of the
# workers' cores. With as many, the hardware has spread them already.
plan_rps() {
    local device=$1 queue mask cores
    mapfile -t cores < <(worker_cores)
    mask=$(mask_of "${cores[@]}")
    for queue in $(queues_of "$device" rx); do
        if [ "$2" -lt "$WORKERS" ]; then
            want mask "/sys/class/net/$device/queues/rx-$queue/rps_cpus" = "$mask" "the workers' cores share the kernel's work"
        else
            show mask "/sys/class/net/$device/queues/rx-$queue/rps_cpus" "software steering, not needed here"
        fi
    done
}

# plan_xps DEVICE: each worker sends by a queue of its own, if there are enough.
plan_xps() {
    local device=$1 queue
    [ "$(queues_of "$device" tx | count_of)" -ge "$WORKERS" ] && [ "$WORKERS" -gt 1 ] || return 0
    for ((queue = 0; queue < WORKERS; queue++)); do
        want mask "/sys/class/net/$device/queues/tx-$queue/xps_cpus" = "$(mask_of "$(core_of "$queue")")" "worker $queue sends by its own queue"
    done
}

# Kernel settings ------------------------------------------------------------------------------

plan_sysctl() {
    local core=/proc/sys/net/core
    want file $core/rmem_max '>=' $BUFFER_BYTES "ng and SIP sockets ask for it"
    want file $core/wmem_max '>=' $BUFFER_BYTES "SIP sockets ask for it"
    want file $core/netdev_max_backlog '>=' $BACKLOG_PACKETS "50 ms of 200,000 packets a second"
    want file $core/netdev_budget '>=' $BUDGET_PACKETS "a full ring in fewer rounds"
    show file $core/netdev_budget_usecs "the other end of a round"
    show file /proc/sys/net/ipv4/udp_mem "pages for all sockets; raise if MemErrors grow"
    show file $core/rps_sock_flow_entries "of no use: RFS learns from connected sockets only"
}

plan_ports() {
    local file=/proc/sys/net/ipv4/ip_local_reserved_ports reserved
    show file /proc/sys/net/ipv4/ip_local_port_range "ports of outgoing sockets"
    if reserved=$(read_file "$file"); then
        want file "$file" = "$(add_range "$reserved" "$PORTS")" "nobody is given a media port"
    fi
}

plan_cpu() {
    local core
    for core in $(worker_cores); do
        if [ -e "$ROOT/sys/devices/system/cpu/cpu$core/cpufreq/scaling_governor" ]; then
            want file "/sys/devices/system/cpu/cpu$core/cpufreq/scaling_governor" = performance "a worker sleeps between packets"
        fi
    done
}

plan_busy_poll() {
    local name
    for name in busy_poll busy_read; do
        if [ "$BUSY_POLL_US" -gt 0 ]; then
            want file "/proc/sys/net/core/$name" = "$BUSY_POLL_US" "as asked for"
        else
            show file "/proc/sys/net/core/$name" "off unless asked for: see README"
        fi
    done
}

# For a person to do ---------------------------------------------------------------------------

plan_conntrack() {
    local netfilter=/proc/sys/net/netfilter
    show file $netfilter/nf_conntrack_count "connections that the firewall follows"
    show file $netfilter/nf_conntrack_max "and how many it can"
    read_file $netfilter/nf_conntrack_count >/dev/null || return 0
    advise "media past the firewall's table (and accept these ports where it accepts by state):
nft add table inet tandem
nft 'add chain inet tandem in { type filter hook prerouting priority raw; }'
nft 'add chain inet tandem out { type filter hook output priority raw; }'
nft add rule inet tandem in udp dport $PORTS notrack
nft add rule inet tandem out udp sport $PORTS notrack"
}

plan_isolation() {
    local cores
    cores=$(worker_cores | paste -sd,)
    show file /sys/devices/system/cpu/isolated "cores without others' threads"
    show file /sys/devices/system/cpu/nohz_full "cores without a tick"
    advise "on the kernel's command line, if others run on the workers' cores:
isolcpus=domain,managed_irq,$cores nohz_full=$cores rcu_nocbs=$cores"
}

plan_limits() {
    local first=${PORTS%-*} last=${PORTS#*-}
    show file /proc/sys/kernel/io_uring_disabled "0: everybody may use io_uring"
    show file /proc/sys/fs/nr_open "descriptors of one process at most"
    advise "the relay needs $((last - first + 1 + FILES_APART)) open files for each interface (LimitNOFILE=, ulimit -n)
and may lock $((WORKERS * LOCKED_KIB_PER_WORKER)) KiB (LimitMEMLOCK=, ulimit -l)"
}
