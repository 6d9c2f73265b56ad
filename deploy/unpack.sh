#!/bin/sh
# Unpacks Debian packages into build/NAME without installing them: sh deploy/unpack.sh NAME PACKAGE...
# Ends with 1 where apt-get cannot bring them.
set -eu
cd "$(dirname "$0")/.."

command -v apt-get >/dev/null 2>&1 && command -v dpkg-deb >/dev/null 2>&1 || exit 1
place=build/$1
shift
echo "Fetching $* (once)"
rm -rf "$place"
mkdir -p "$place.part"
cd "$place.part"
{ apt-get -qq download "$@" || { apt-get -qq update && apt-get -qq download "$@"; }; } >fetch.log 2>&1 || exit 1
for package in *.deb; do
	dpkg-deb -x "$package" .
	rm -f "$package"
done
mv "$PWD" "${PWD%.part}"
