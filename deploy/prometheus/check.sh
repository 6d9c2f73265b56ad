#!/bin/sh
# Checks the configuration and the alerts with promtool, and tests them: with one that is there, else with Debian's,
# which is unpacked into build/ and not installed.
set -eu
cd "$(dirname "$0")/../.."

unpacked=build/promtool/usr/bin/promtool

if promtool=$(command -v promtool); then :
elif [ -x "$unpacked" ] || sh deploy/unpack.sh promtool prometheus; then promtool=$unpacked
else
	echo "promtool is not here and apt-get cannot bring it: the alerts are parsed by the tests and not tried out" >&2
	exit 0
fi
"$promtool" check config deploy/prometheus/prometheus.yml
"$promtool" test rules deploy/prometheus/rules_test.yml
