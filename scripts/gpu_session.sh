#!/usr/bin/env bash
# What one GPU tells in a short time, on a machine that may have neither network, Ray nor MLflow:
#
#   OUT=out STORE=runs scripts/gpu_session.sh speed experiments/emoji_64.yaml=12 experiments/emoji_64_fine.yaml=4
#
# `speed` first, alone: utilisation of a training step and images per second of sampling (benchmarks/).
# Then every FILE=WORKERS at once: so many `rpe2d-bench work` processes each on one store, until LIMIT; small models leave a
# GPU idle between kernels, which other processes fill. Then each file's records and report, in OUT, and what a report
# reads of the store in OUT/store.tar.* (weights and the samples of all seeds but the first stay).
# What was not finished is continued by the same command. SET holds further --set arguments.
set -uo pipefail
OUT=${OUT:-out} STORE=${STORE:-runs} LIMIT=${LIMIT:-30m} PYTHON=${PYTHON:-python3}
read -ra SETTINGS <<<"--set resources.device=cuda ${SET:-}"
export OMP_NUM_THREADS=1 PYTHONUNBUFFERED=1
mkdir -p "$OUT" "$STORE"
bench() { "$PYTHON" -m rpe2d_bench.cli "$@"; }

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

date +%T
for entry in "${files[@]}"; do  # alone: measures arithmetic once for all
  bench plan "${entry%=*}" --store "$STORE" "${SETTINGS[@]}" | grep -E "arithmetic|training:|sampling:|trainings" | head -4
done
date +%T
for entry in "${files[@]}"; do
  name=$(basename "${entry%=*}" .yaml)
  for worker in $(seq "${entry#*=}"); do
    bench work "${entry%=*}" --store "$STORE" --time-limit "$LIMIT" "${SETTINGS[@]}" >"$OUT/$name.$worker.log" 2>&1 &
  done
done
wait
date +%T
for entry in "${files[@]}"; do
  file=${entry%=*} name=$(basename "${entry%=*}" .yaml)
  echo "$name: $(tail -qn 1 "$OUT/$name".*.log | sort | uniq -c | sort -rn | head -2 | cut -c1-160)"
  timeout 60 "$PYTHON" -m rpe2d_bench.cli work "$file" --store "$STORE" --time-limit 1s "${SETTINGS[@]}" >"$OUT/$name.left" 2>&1
  case $? in
    0) bench run "$file" --store "$STORE" --reports "$OUT/reports" --engine local --no-mlflow "${SETTINGS[@]}" | tail -n 40 ;;
    *) echo "$name is not complete: $(tail -n 1 "$OUT/$name.left")" ;;
  esac
done
cat "$OUT"/*.[0-9]*.log >"$OUT/workers.log" && rm -f "$OUT"/*.[0-9]*.log
"$PYTHON" scripts/pack_store.py "$STORE" "$OUT"
date +%T
