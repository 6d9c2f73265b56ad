#!/bin/sh
# Makes sure that the browser tests find a Chromium: one that is there, else the system's package, else Playwright's.
set -eu

found() {
	for name in "${TOKHUB_CHROMIUM:-}" chromium chromium-browser google-chrome; do
		[ -n "$name" ] && "$name" --version >/dev/null 2>&1 && return 0
	done
	return 1
}

if found; then exit 0; fi
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
	echo "Installing Chromium for the browser tests with apt-get (once)"
	log=$(mktemp)
	if apt-get update -qq >"$log" 2>&1 && apt-get install -y -qq chromium >>"$log" 2>&1 && found; then
		rm -f "$log"
		exit 0
	fi
	tail -n 5 "$log" >&2
	rm -f "$log"
	echo "apt-get could not; downloading Playwright's Chromium instead (once)"
	exec playwright install --with-deps chromium
fi
echo "Downloading Playwright's Chromium for the browser tests (once)"
exec playwright install chromium
