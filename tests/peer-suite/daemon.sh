#!/bin/bash
# Runs the relay and control under rtpengine's command line, in the foreground, for the peer's own
# tests. The folder of the binaries is $TANDEM_BIN (default: where tandem is found).
set -eu
bin=${TANDEM_BIN:-$(dirname "$(command -v tandem)")}
dir=$(mktemp -d)
relay= control=
stop() {
	for pid in $control $relay; do kill -TERM "$pid" 2>/dev/null || true; done
	wait
	rm -rf "$dir"
}
trap stop EXIT
trap 'exit 0' TERM INT HUP
# It reads a settings file if it is told of one.
file=
for option; do
	case $option in --config-file=none) ;; --config-file=*) file=${option#*=} ;; esac
done
"$bin/tandem" migrate ${file:+"$file"} -- "$@" >"$dir/tandem.toml"
# One worker has all ports: what is tested is not how they are shared out. Ports that are closed are heard
# to be, so that no socket is kept for the next call.
sed -i 's/^\[relay\]$/[relay]\nworkers = 1\nidle_sockets_max = 0/' "$dir/tandem.toml"
cat "$dir/tandem.toml" >&2
"$bin/tandem-relay" --config "$dir/tandem.toml" &
relay=$!
"$bin/tandem-control" --config "$dir/tandem.toml" &
control=$!
wait -n "$relay" "$control"
