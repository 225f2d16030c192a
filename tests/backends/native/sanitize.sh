#!/bin/sh
# The native tests under sanitizers: tests/backends/native/sanitize.sh [address|thread] [pytest arguments]
# "address" is the address and undefined-behaviour sanitizers, and the default. Needs GCC, CMake,
# Ninja, and the packages of the "dev" extra, in a Python where Pellucid is not installed as editable.
# Builds in a temporary folder; nothing is installed.
set -eu
kind=address
case "${1:-}" in address|thread) kind=$1; shift ;; esac
root=$(cd "$(dirname "$0")/../../.." && pwd)
python=${PYTHON:-python3}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

cmake -S "$root" -B "$folder/build" -G Ninja -DPELLUCID_SANITIZE=$kind \
    -DPython_EXECUTABLE="$(command -v "$python")" > /dev/null
ninja -C "$folder/build"
cp -R "$root/src" "$folder/src"
rm -f "$folder"/src/pellucid/backends/_native*.so
cp "$folder"/build/_native*.so "$folder/src/pellucid/backends/"

export PYTHONPATH="$folder/src" PYTHONMALLOC=malloc OMP_NUM_THREADS=1
# Python itself leaks at its end, on purpose; and NumPy's threads are not ours to judge.
export ASAN_OPTIONS=detect_leaks=0
export UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1
export TSAN_OPTIONS="ignore_noninstrumented_modules=1:halt_on_error=1:report_signal_unsafe=0:die_after_fork=0"
# A sanitizer's own memory is beyond any limit of a process; and that of threads cannot follow forked ones.
case $kind in
    address) library=libasan.so without=no_room ;;
    thread) library=libtsan.so without="forked or no_room" ;;
esac
preload="$(gcc -print-file-name=$library) $(gcc -print-file-name=libstdc++.so.6)"
cd "$root"
# Thread sanitizers of GCC 12 know no addresses as random as newer kernels give.
run() { LD_PRELOAD="$preload" setarch -R "$python" "$@"; }
used=$(run -c 'from pellucid.backends import _native; print(_native.__file__)')
case "$used" in
    "$folder"/*) ;;
    *) echo "$used is used, not what was built: take a Python without an editable Pellucid" >&2; exit 1 ;;
esac
run -m pytest -q -p no:cacheprovider -m "not slow" -k "not ($without)" tests/backends/native "$@"
