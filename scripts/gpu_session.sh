#!/usr/bin/env bash
# What one GPU tells in a short time, on a machine that may have neither network, Ray nor MLflow:
#
#   OUT=out STORE=runs scripts/gpu_session.sh speed experiments/emoji_64.yaml=12 experiments/emoji_64_fine.yaml=4
#
# `speed` first, alone: utilisation of a training step and images per second of sampling (benchmarks/).
# Then every FILE=WORKERS at once: so many `rpe2d-bench work` processes each on one store, until LIMIT; small models leave a
# GPU idle between kernels, which other processes fill. Then each file's records and report, in OUT, and what a report
# reads of the store in OUT/store.tar.* (weights and the samples of all seeds but the first stay).
# Before the first long run on a new machine, the whole path at four steps, in a store of its own:
#   STORE=rehearsal SET="--set train.steps=4 --set seeds=[0] --set evaluate.num_samples=24" scripts/gpu_session.sh FILE=4
# What was not finished is continued by the same command. SET holds further --set arguments, SET_NAME those of NAME.yaml.
# Where images are slow to draw, `python -m scripts.draw_pools FILE --store runs` before it uses all cores.
set -uo pipefail
OUT=${OUT:-out} STORE=${STORE:-runs} LIMIT=${LIMIT:-30m} PYTHON=${PYTHON:-python3}
export OMP_NUM_THREADS=1 PYTHONUNBUFFERED=1
mkdir -p "$OUT" "$STORE"
bench() { "$PYTHON" -m rpe2d_bench.cli "$@"; }
"$PYTHON" -c 'from importlib.metadata import version; version("rpe2d-bench")' 2>/dev/null ||
  { echo "rpe2d-bench is not installed for $PYTHON, and the rivals with it: $PYTHON -m pip install --no-deps ." >&2; exit 2; }

nvidia-smi --query-gpu=name,driver_version --format=csv,noheader
git rev-parse HEAD 2>/dev/null || echo "no repository here: records will not name a commit"
files=()
for argument in "$@"; do
  if [ "$argument" = speed ]; then
    timeout 100 "$PYTHON" -m benchmarks.gpu_training --steps 20 --out "$OUT/gpu_training.json"
    for model in DiT-B/2 DiT-XL/2; do
      name=${model//\//_}
      timeout 60 "$PYTHON" -m benchmarks.sampling_step --device cuda --model $model --tokens 256,1024 --steps 4 --rounds 1 \
        --no-peers --out "$OUT/gpu_sampling_$name.json" | tail -n 4
    done
  else
    files+=("$argument")
  fi
done

settings() {  # of a file: SET for all, SET_NAME for one
  local own=SET_$(basename "$1" .yaml)
  echo "--set resources.device=cuda ${SET:-} ${!own:-}"
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
