#!/usr/bin/env bash
# The property tests with a million cases each, and a million random schedules: hours, so no part of
# `.ci/run`. The seed is new each time and printed, here and by a failure; with it the run is the same
# again.
#
# Usage: tests/properties.sh [CASES] [SEED] [FILTER]
set -euo pipefail
cd "$(dirname "$0")/.."

cases=${1:-1000000}
seed=${2:-$(od -An -N6 -tu8 /dev/urandom | tr -d ' ')}
filter=${3:-}
# As the linked program is the same without link-time optimisation, which takes minutes.
export CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16
export PROPTEST_CASES=$cases PROPTEST_RNG_SEED=$seed
# A text that a strategy rejects is no case; the more cases, the more of them.
export PROPTEST_MAX_GLOBAL_REJECTS=$((cases * 4)) PROPTEST_MAX_LOCAL_REJECTS=$((cases * 4))

echo "$cases cases with seed $seed"
trap 'status=$?; [ $status -eq 0 ] || echo "again: tests/properties.sh $cases $seed" >&2' EXIT
cargo test ${PROPERTIES_PROFILE---release} -p crucible-config -p crucible-router -p crucible-cli -p crucible --lib -- $filter
cargo test ${PROPERTIES_PROFILE---release} -p crucible-config --test properties -- $filter
echo "$cases cases with seed $seed: all hold"
