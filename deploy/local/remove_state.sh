#!/bin/sh
# Removes the state directory of `make run`, and the database files it may point to elsewhere.
set -eu
state=$1

for database in "$state/postgres" "$state/live/postgres"; do
	[ -L "$database" ] || continue
	target=$(readlink -f "$database") || continue
	# The embedded server keeps its files here when its own account cannot reach the project's directory.
	case $target in /var/lib/tokhub/?*) rm -rf -- "$target" ;; esac
done
rm -rf -- "$state"
