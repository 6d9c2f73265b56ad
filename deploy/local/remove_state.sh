#!/bin/sh
# Removes the state directory of `make run`, and the database files it may point to elsewhere.
# Usage: remove_state.sh [DIRECTORY]. Without one it is TOKHUB_STATE_DIR, of the environment or of .env, or .tokhub.
set -eu

named_in_env_file() {
	[ ! -f .env ] || sed -n 's/^TOKHUB_STATE_DIR=//p' .env | tail -n 1 | tr -d "\"'"
}

refuse() {
	echo "tokhub: $1" >&2
	exit 1
}

state=${1:-${TOKHUB_STATE_DIR:-$(named_in_env_file)}}
state=${state:-.tokhub}

if [ ! -d "$state" ]; then
	echo "There is no state in $state."
	exit 0
fi
# A suite with real credentials keeps its state in a directory of its own.
[ -f "$state/lock" ] || [ -f "$state/live/lock" ] ||
	refuse "$state is no state directory of \`make run\`: nothing was removed."
for lock in "$state/lock" "$state/live/lock"; do
	[ -f "$lock" ] || continue
	"${PYTHON:-python3}" -c 'import fcntl, sys; fcntl.flock(open(sys.argv[1]), fcntl.LOCK_EX | fcntl.LOCK_NB)' "$lock" \
		2>/dev/null || refuse "a \`make run\` (process $(cat "$lock")) uses $state: end it with Ctrl-C first."
done

for database in "$state/postgres" "$state/live/postgres"; do
	[ -L "$database" ] || continue
	target=$(readlink -f "$database") || continue
	# The embedded server keeps its files here when its own account cannot reach the project's directory.
	case $target in /var/lib/tokhub/?*) rm -rf -- "$target" ;; esac
done
rm -rf -- "$state"
echo "Removed $state."
