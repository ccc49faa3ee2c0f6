#!/usr/bin/env bash
# Proves on a machine with an NVIDIA card what the tests prove with made-up ones: the memory of the
# card is read and budgeted (row 1), and a process of Ollama's that computes on it is noticed
# (rows 32 to 34). Prints each row before, while and after such a process lives.
#
# Usage: tests/gpu/prove.sh CRUCIBLE CRUCIBLE-SIM     (the two programs)
# Needs nvidia-smi, curl and a Python 3 whose file can be copied (not a launcher).
set -euo pipefail

crucible=$1 sim=$2
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
cleanup() {
  kill $(jobs -p) 2>/dev/null || true
  rm -rf "$work"
}
trap cleanup EXIT
fail() { echo "FAILED: $1" >&2; cat "$work"/*.log >&2 || true; exit 1; }

python=$(readlink -f "$(python3 -c 'import sys; print(sys._base_executable or sys.executable)')")
home=$(python3 -c 'import sys; print(sys.base_prefix)')
cp "$python" "$work/ollama"
cp "$python" "$work/llama-server"
ollama_port=11634

"$sim" lmstudio --models gpu-model=2GB >"$work/lmstudio.log" 2>&1 &
(cd "$here" && PYTHONHOME="$home" exec "$work/ollama" serve "$ollama_port") >"$work/ollama.log" 2>&1 &
for _ in $(seq 100); do grep -q listening "$work/lmstudio.log" && break; sleep 0.1; done
lmstudio=$(grep -o 'http://[^ ]*' "$work/lmstudio.log" | head -n 1)

cat >"$work/crucible.toml" <<TOML
listen = "127.0.0.1:0"
state_dir = "$work/state"
[[engine]]
name = "lmstudio"
kind = "lmstudio"
url = "$lmstudio"
[[engine]]
name = "ollama"
kind = "ollama"
url = "http://127.0.0.1:$ollama_port"
TOML
"$crucible" serve --config "$work/crucible.toml" >"$work/crucible.out" 2>"$work/crucible.log" &
for _ in $(seq 100); do grep -q listening "$work/crucible.out" && break; sleep 0.1; done
url=$(grep -o 'http://[^ ]*' "$work/crucible.out" | head -n 1)
for _ in $(seq 100); do curl -sf "$url/readyz" >/dev/null && break; sleep 0.1; done

rows() {
  curl -sf "$url/crucible/tunings" >"$work/tunings.json" || fail "no answer from $url"
  python3 - "$work/tunings.json" <<'PY'
import json, sys
wanted = ["lmstudio.gpu_memory_fraction", "environment.OLLAMA_NUM_GPU",
          "environment.OLLAMA_CPU_TARGET", "environment.CUDA_VISIBLE_DEVICES"]
for row in json.load(open(sys.argv[1]))["tunings"]:
    if row["id"] in wanted:
        print(f"  {row['id']}: {row['state']}: {json.dumps(row['evidence'])} {row['advice'] or ''}")
PY
}
state_of() {
  python3 - "$work/tunings.json" "$1" <<'PY'
import json, sys
print(next(r["state"] for r in json.load(open(sys.argv[1]))["tunings"] if r["id"] == sys.argv[2]))
PY
}
is() { [ "$(state_of "$1")" = "$2" ] || fail "$1 is $(state_of "$1"), not $2"; }

echo "nvidia-smi: $(nvidia-smi --query-gpu=name,memory.total,driver_version --format=csv,noheader)"
echo "before:"
rows
is lmstudio.gpu_memory_fraction in_effect
is environment.OLLAMA_NUM_GPU superseded
total=$(nvidia-smi --query-gpu=memory.total --format=csv,noheader,nounits | sort -n | tail -n 1)
curl -sf "$url/crucible/state" >"$work/state.json"
python3 - "$work/state.json" "$total" <<'PY'
import json, sys
pool = next(p for p in json.load(open(sys.argv[1]))["pools"] if p["name"] == "gpu")
expected = 0.8 * int(sys.argv[2]) * 2**20
print(f"  budget of the pool gpu: {pool['budget_bytes']}, 0.8 of what nvidia-smi names: {expected:.0f}")
# nvidia-smi rounds to MiB.
assert abs(pool["budget_bytes"] - expected) < 2**21, "the budget is another"
PY
echo "while a runner of Ollama computes on the card: $(curl -sf -X POST "http://127.0.0.1:$ollama_port/hold")"
rows
is environment.OLLAMA_NUM_GPU not_in_effect
is environment.CUDA_VISIBLE_DEVICES not_in_effect
curl -sf -X POST "http://127.0.0.1:$ollama_port/release" >/dev/null
echo "after it has ended:"
rows
is environment.OLLAMA_NUM_GPU superseded
echo "proved"
