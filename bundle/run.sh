#!/usr/bin/env bash
# On a machine with a GPU and without a network: run.sh PHASE... (smoke speed study best; these, in
# this order, where none is named). Sets up in seconds, runs each phase under its own limit and keeps
# its results in $OUT as it goes; see docs/gpu.md.
# OUT, WORK: folders of results and of everything else. PYTHON: with torch.
# LIMIT, LIMIT_SMOKE, LIMIT_SPEED, LIMIT_STUDY, LIMIT_BEST: seconds for all and for each phase.
# RUNS_STUDY, RUNS_BEST, EPOCHS, EXACT=1, SIDE_BY_SIDE, SCORE_S, GRACE_S: see study.py.
# SMOKE: groups of smoke. SPEED, VARIANTS: see speed.py. DATA: data set. OVERRIDES: of every run of
# study and best. MPS=0: without NVIDIA's Multi-Process Service.
set -uo pipefail
began=$SECONDS
bundle=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
python=${PYTHON:-python3}
WORK=${WORK:-${TMPDIR:-/tmp}/thaw_bundle}
OUT=${OUT:-$WORK/out}
LIMIT=${LIMIT:-570}
LIMIT_SMOKE=${LIMIT_SMOKE:-150} LIMIT_SPEED=${LIMIT_SPEED:-180}
LIMIT_STUDY=${LIMIT_STUDY:-$LIMIT} LIMIT_BEST=${LIMIT_BEST:-$LIMIT}
# Of each limit: what it takes to stop, save and pack.
RESERVE=${RESERVE:-10}
project=$WORK/project
mkdir -p "$OUT" "$WORK/data/MNIST/raw"
OUT=$(realpath "$OUT") WORK=$(realpath "$WORK")

child=
log() { tee -a "$OUT/log.txt"; }
say() { echo "[$((SECONDS - began)) s] $*" | log; }
left() { echo $((LIMIT - (SECONDS - began))); }
# $(within PHASE_LIMIT): seconds that a phase has.
within() { local all=$(($(left) - RESERVE)); echo $(($1 < all ? $1 : all)); }
# In the background, so that a signal to this script reaches the phase at once.
run() {
  "$@" > >(log) 2>&1 &
  child=$!
  wait "$child"
  code=$?
  [ "$stopped" = 0 ] || { wait "$child"; code=$?; }
  child=
  return "$code"
}
stopped=0
stop() { stopped=1; [ -z "$child" ] || kill -TERM "$child"; }
trap stop TERM INT HUP

set_up() {
  rm -rf "$project"
  mkdir -p "$project"
  tar xzf "$bundle/project.tgz" -C "$project"
  for file in "$bundle"/MNIST/*.gz; do
    [ -f "$file" ] && gunzip -c "$file" >"$WORK/data/MNIST/raw/$(basename "$file" .gz)"
  done
  DATA=${DATA:-$([ -d "$bundle/MNIST" ] && echo mnist || echo mnist_5k)}
  if [ -d "$bundle/state" ] && [ ! -d "$WORK/runs" ]; then
    for first in "$bundle"/state/*.tgz.aa; do
      name=$(basename "$first" .tgz.aa)
      mkdir -p "$WORK/runs/$name"
      cat "${first%aa}"* | tar xz -C "$WORK/runs/$name"
      say "$name goes on from: $(ls "$WORK/runs/$name" | tr '\n' ' ')"
    done
  fi
  "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    { say "Python 3.11 or newer is needed: PYTHON=FILE names one, $python is not"; exit 1; }
  run "$python" "$bundle/packages.py" "$project" "$bundle/wheels" "$WORK/site"
  export PYTHONPATH=$project/src:$WORK/site OUT WORK DATA PYTHONUNBUFFERED=1 OMP_NUM_THREADS=1
  [ "$DATA" = mnist_5k ] || export THAW_DATA=$WORK/data
  run "$python" -c "import torch, torchvision; gpu = torch.cuda.is_available(); \
print('torch', torch.__version__, torch.cuda.get_device_name() if gpu else 'on the CPU: NO GPU')" ||
    { say "without torch and torchvision nothing runs"; exit 1; }
}

# Kernels of processes side by side run at the same time, where the machine has this daemon.
start_mps() {
  [ "${MPS:-1}" = 1 ] && command -v nvidia-cuda-mps-control >/dev/null || return 0
  mkdir -p "$WORK/mps"
  export CUDA_MPS_PIPE_DIRECTORY=$WORK/mps CUDA_MPS_LOG_DIRECTORY=$WORK/mps
  if nvidia-cuda-mps-control -d 2>&1 | log; then
    say "processes share the GPU by its Multi-Process Service"
  else
    unset CUDA_MPS_PIPE_DIRECTORY CUDA_MPS_LOG_DIRECTORY
  fi
}
stop_mps() {
  [ -z "${CUDA_MPS_PIPE_DIRECTORY:-}" ] || echo quit | timeout 10 nvidia-cuda-mps-control >/dev/null
  unset CUDA_MPS_PIPE_DIRECTORY CUDA_MPS_LOG_DIRECTORY
}

# $(limited SECONDS COMMAND...): a phase without a clock of its own.
limited() {
  local limit=$1
  shift
  run timeout -k 10 "$limit" "$@"
  case $? in 0) ;; 124 | 137) say "cut by its limit of $limit s" ;; *) say "with failures, see above" ;; esac
}

phase() {
  local limit gpu_tests
  case $1 in
  smoke)
    limit=$(within "$LIMIT_SMOKE")
    limited "$limit" "$python" bundle/smoke.py ${SMOKE:-}
    limit=$(within $((LIMIT_SMOKE - (SECONDS - start))))
    # Others need packages that may be missing.
    gpu_tests=$(grep -rl 'mark\.gpu' tests --include 'test_*.py')
    "$python" -c 'import pytest' 2>/dev/null || { say "no pytest: no tests"; return; }
    [ "$limit" -gt 0 ] && limited "$limit" "$python" -m pytest -q -p no:cacheprovider -m gpu $gpu_tests
    ;;
  speed) run "$python" bundle/speed.py "$(within "$LIMIT_SPEED")" ;;
  study | best)
    limit=LIMIT_${1^^}
    start_mps
    run "$python" bundle/study.py "$1" "$(within "${!limit}")"
    stop_mps
    ;;
  *) say "no such phase: $1 (smoke speed study best)" ;;
  esac
}

say "thaw $(cat "$bundle/version"), results in $OUT"
set_up
say "set up"
cd "$project" || exit 1
[ $# -gt 0 ] || set -- smoke speed study best
for name in "$@"; do
  [ "$stopped" = 0 ] || break
  if [ "$(left)" -le $((2 * RESERVE)) ]; then say "no time left for $name"; continue; fi
  say "== $name"
  start=$SECONDS
  phase "$name"
  say "== $name took $((SECONDS - start)) s"
done
say "$([ "$stopped" = 0 ] && echo done || echo stopped): $(cd "$OUT" && ls -s --block-size=K | tail -n +2 | tr -s ' \n' ' ')"
sleep 0.2 # the last lines of the log
