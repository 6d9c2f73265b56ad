#!/bin/sh
# Checks the configuration and the alerts with promtool, and tests them: with one that is there, else with Debian's,
# which is unpacked into build/ and not installed.
set -eu
cd "$(dirname "$0")/../.."

unpacked=build/promtool/usr/bin/promtool

unpack() {
	command -v apt-get >/dev/null 2>&1 && command -v dpkg-deb >/dev/null 2>&1 || return 1
	echo "Fetching promtool from the package prometheus (once)"
	rm -rf build/promtool
	mkdir -p build/promtool
	(
		cd build/promtool
		{ apt-get -qq download prometheus || { apt-get -qq update && apt-get -qq download prometheus; }; } >fetch.log 2>&1 &&
			dpkg-deb -x prometheus_*.deb . && rm -f prometheus_*.deb
	)
}

if promtool=$(command -v promtool); then :
elif [ -x "$unpacked" ] || unpack; then promtool=$unpacked
else
	echo "promtool is not here and apt-get cannot bring it: the alerts are parsed by the tests and not tried out" >&2
	exit 0
fi
"$promtool" check config deploy/prometheus/prometheus.yml
"$promtool" test rules deploy/prometheus/rules_test.yml
