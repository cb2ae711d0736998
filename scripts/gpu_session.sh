#!/usr/bin/env bash
# What one GPU tells in a short time, on a machine that may have neither network, Ray nor MLflow:
#
#   OUT=out STORE=runs scripts/gpu_session.sh speed experiments/emoji_64.yaml=12 experiments/emoji_64_fine.yaml=4
#
# `speed` first, alone: utilisation of a training step, images a second of sampling eager and compiled, what biases cost,
# and whether DDP and FSDP2 give the losses of one process (benchmarks/); MODELS, TOKENS, BATCH, EACH choose their sizes.
# Then every FILE=WORKERS at once: so many `rpe2d-bench work` processes each on one store, until LIMIT; small models leave a
# GPU idle between kernels, which other processes fill. Then each file's records and report, in OUT, and what a report
# reads of the store in OUT/store.tar.* (weights and the samples of all seeds but the first stay).
# Before the first long run on a new machine, the whole path at four steps, in a store of its own:
#   STORE=rehearsal SET="--set train.steps=4 --set seeds=[0] --set evaluate.num_samples=24" scripts/gpu_session.sh FILE=4
# What was not finished is continued by the same command. SET holds further --set arguments, SET_NAME those of NAME.yaml.
# DEVICE=cpu goes the same way without a GPU. scripts/gpu_hour.sh has a whole hour's arguments for this script.
# Where images are slow to draw, `python -m scripts.draw_pools FILE --store runs` before it uses all cores.
set -uo pipefail
OUT=${OUT:-out} STORE=${STORE:-runs} LIMIT=${LIMIT:-30m} PYTHON=${PYTHON:-python3} DEVICE=${DEVICE:-cuda}
MODELS=${MODELS:-DiT-B/2,DiT-XL/2} TOKENS=${TOKENS:-256,1024} BATCH=${BATCH:-256} EACH=${EACH:-5m}
export OMP_NUM_THREADS=1 PYTHONUNBUFFERED=1
mkdir -p "$OUT" "$STORE"
bench() { "$PYTHON" -m rpe2d_bench "$@"; }
"$PYTHON" -c 'from importlib.metadata import version; version("rpe2d-bench")' 2>/dev/null ||
  { echo "rpe2d-bench is not installed for $PYTHON, and the rivals with it: $PYTHON -m pip install --no-deps ." >&2; exit 2; }

[ "$DEVICE" != cuda ] || nvidia-smi --query-gpu=name,driver_version --format=csv,noheader
git rev-parse HEAD 2>/dev/null || echo "no repository here: records will not name a commit"
measure() {  # NAME, options: what it says, and its numbers in OUT
  local name=$1
  shift
  echo "== $name $*"
  timeout "$EACH" "$PYTHON" -m "benchmarks.$name" "$@" || echo "$name ended with exit code $? (124: not done within $EACH)"
}
speed() {
  local tried="--models $MODELS --encodings rope"
  measure gpu_training $tried --batch "$BATCH" --steps 20 --out "$OUT/gpu_training.json"
  measure gpu_sampling $tried --tokens "$TOKENS" --device "$DEVICE" --out "$OUT/gpu_sampling.json"
  measure gpu_parity --device "$DEVICE" --out "$OUT/gpu_parity.json"
  for divided in "" --sharded; do  # one process; as many as there are GPUs where there are several
    measure gpu_training --gpus "${GPUS:-1}" $divided $tried --batch "$BATCH" --steps 10 --out "$OUT/several_gpus$divided.json"
  done
  measure bias_cost --bf16 --device "$DEVICE" --model "${MODELS%%,*}" --out "$OUT/bias_cost.json"
}
files=()
for argument in "$@"; do
  if [ "$argument" = speed ]; then
    speed
  else
    files+=("$argument")
  fi
done
[ ${#files[@]} -gt 0 ] || exit 0

settings() {  # of a file: SET for all, SET_NAME for one
  local own=SET_$(basename "$1" .yaml)
  echo "--set resources.device=$DEVICE ${SET:-} ${!own:-}"
}

date +%T
for entry in "${files[@]}"; do
  file=${entry%=*} name=$(basename "${entry%=*}" .yaml)
  read -ra given <<<"$(settings "$file")"
  for worker in $(seq "${entry#*=}"); do
    bench work "$file" --store "$STORE" --time-limit "$LIMIT" "${given[@]}" >"$OUT/$name.$worker.log" 2>&1 &
  done
done
wait
date +%T
finish() {
  local file=$1 name
  name=$(basename "$file" .yaml)
  read -ra given <<<"$(settings "$file")"
  if bench work "$file" --store "$STORE" --time-limit 1s "${given[@]}" >"$OUT/$name.left" 2>&1; then
    bench run "$file" --store "$STORE" --reports "$OUT/reports" --engine local --no-mlflow "${given[@]}" >"$OUT/$name.run" 2>&1
  else
    echo "$name is not complete: $(tail -n 1 "$OUT/$name.left")"
  fi
}
for entry in "${files[@]}"; do finish "${entry%=*}" & done
wait
cat "$OUT"/*.[0-9]*.log >"$OUT/workers.log" && rm -f "$OUT"/*.[0-9]*.log
"$PYTHON" -m scripts.pack_store "$STORE" "$OUT"
tar -C "$OUT" -cJ reports | split -b 15m - "$OUT/reports.tar." && rm -rf "$OUT/reports"
cat "$OUT"/*.left "$OUT"/*.run >"$OUT/finish.log"; rm -f "$OUT"/*.left "$OUT"/*.run
date +%T
