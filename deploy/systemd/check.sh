#!/bin/sh
# Has systemd read every line of the units: the one that is here, else Debian's, which is unpacked into build/.
set -eu
cd "$(dirname "$0")/../.."

unpacked=build/systemd/usr/bin/systemd-analyze

if analyze=$(command -v systemd-analyze); then :
elif [ -x "$unpacked" ] || sh deploy/unpack.sh systemd systemd libsystemd-shared; then
	analyze=$unpacked
	library=$(find "$PWD/build/systemd" -name 'libsystemd-shared-*.so')
	export LD_LIBRARY_PATH="${library%/*}"
else
	echo "systemd-analyze is not here and apt-get cannot bring it: the units are not read" >&2
	exit 0
fi

units=build/units
rm -rf "$units"
mkdir -p "$units"
cp -R deploy/systemd/. "$units"
# Of a command, systemd asks that it is there.
sed -i.bak 's|/opt/tokhub/bin/python|/bin/sh|' "$units"/tokhub@.service
# The empty part stands for the machine's own units.
for name in token sync gateway; do
	said=$(SYSTEMD_UNIT_PATH="$PWD/$units:" "$analyze" verify --man=no "$units/tokhub@$name.service" 2>&1) || {
		echo "$said" >&2
		exit 1
	}
	[ -z "$said" ] || { echo "$said" >&2; exit 1; }
done
