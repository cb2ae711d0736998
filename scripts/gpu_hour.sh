#!/usr/bin/env bash
# An hour on one H100 or H200 by one command, on a machine that may have neither network, Ray nor MLflow:
#
#   OUT=out STORE=runs CLOTHING=clothing-384.zip scripts/gpu_hour.sh
#
# 1. rehearsal, some minutes: both experiments at four steps and 24 images, in a store of its own, OUT-rehearsal. What
#    fails here would have failed after an hour.
# 2. speed, 25 minutes at the most: utilisation of training DiT-B/2 and DiT-XL/2, images a second of sampling them eager
#    and compiled, what biases cost in bfloat16, DDP and FSDP2 against one process.
# 3. emoji_64_dit_s.yaml and clothing_64.yaml (DiT-S, 5,000 steps; left out without its images), until LIMIT.
# 4. records and reports of both in OUT, and the store in parts (scripts/pack_store.py).
# The same command continues what was not finished; STEPS="speed run" leaves the rehearsal out. OUT/hour.log says all.
#
# DEVICE=cpu goes all the way on a machine without a GPU, with sizes that say nothing: try that first.
set -uo pipefail
export OUT=${OUT:-out} STORE=${STORE:-runs} DEVICE=${DEVICE:-cuda} LIMIT=${LIMIT:-25m}
STEPS=${STEPS:-rehearsal speed run} CLOTHING=${CLOTHING:-clothing-384.zip}
here=$(cd "$(dirname "$0")" && pwd) && cd "$here/.." || exit 2
mkdir -p "$OUT"
emoji=emoji_64_dit_s few="--set seeds=[0] --set train.steps=4 --set evaluate.num_samples=24"
export SET_clothing_64="--set data.path=$CLOTHING --set train.steps=5000"
many=(experiments/$emoji.yaml=6)
[ -f "$CLOTHING" ] && many+=(experiments/clothing_64.yaml=3)
if [ "$DEVICE" = cpu ]; then
  tiny="--set model.preset=DiT-Nano/8 --set train.compile=false --set train.num_images=64 --set train.batch_size=8"
  few="$few $tiny --set resolutions=[{\"train\":64,\"test\":[64,96]}]" many=("${many[@]/%=[0-9]*/=1}")
  export MODELS=DiT-Nano/4 TOKENS=16,64 BATCH=2 SET="$few" EACH=10m
  export SET_clothing_64="$SET_clothing_64 --set train.steps=4 --set evaluate.sampler.compile=false --set evaluate.sampler.steps=2"
fi
{
  [ -f "$CLOTHING" ] || echo "clothing_64 is left out: there is no $CLOTHING (CLOTHING names it; experiments/clothing_64.yaml)"
  for step in $STEPS; do
    echo "== $step $(date +%T)"
    case $step in
      rehearsal) STORE=$OUT-rehearsal OUT=$OUT/rehearsal LIMIT=5m SET="$few" \
        SET_clothing_64="$SET_clothing_64 --set train.steps=4" "$here/gpu_session.sh" "${many[@]/%=[0-9]*/=1}" ;;
      speed) "$here/gpu_session.sh" speed ;;
      run) "$here/gpu_session.sh" "${many[@]}" ;;
      *) echo "STEPS: $step is none of rehearsal, speed, run" >&2; exit 2 ;;
    esac
  done
  echo "== done $(date +%T)"
} 2>&1 | tee -a "$OUT/hour.log"
