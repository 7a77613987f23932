#!/usr/bin/env bash
# All measurements for a GPU, in under nine minutes:
#
#     benchmarks/gpu.sh [FOLDER [PART ...]]
#
# FOLDER (by default $OUT, or bench-out) gets a file of each part's output and its JSON.
# PART is the name of such a file: only these parts, such as those that did not fit.
# Each part has a time limit, so that one that hangs costs only itself; what no longer
# fits into the whole time is left out, so the parts are in the order of their weight.
# All tables are printed at the end. SMOKE=1 shrinks everything, to see whether it runs;
# on a slow machine LIMIT_FACTOR=4 gives each part four times as long.
set -u
cd "$(dirname "$0")/.." || exit 1
folder=${1:-${OUT:-bench-out}}
[ $# -eq 0 ] || shift
only=" $* "
mkdir -p "$folder" || exit 1
folder=$(cd "$folder" && pwd)
python=${PYTHON:-python}
whole=${SECONDS_IN_ALL:-530}
export PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}"
export XLA_PYTHON_CLIENT_PREALLOCATE=false
small=() steps=300
if [ -n "${SMOKE:-}" ]; then
    small=(--smoke --seconds=1 --threads=1) steps=24
fi
parts=() current=
# `timeout` has a process group of its own, which Ctrl-C does not reach.
trap '[ -z "$current" ] || kill "$current"; exit 143' INT TERM

part() { # NAME LIMIT COMMAND...
    local name=$1 limit=$2 left=$((whole - SECONDS)) start=$SECONDS code
    shift 2
    [ "$only" = "  " ] || [[ $only == *" $name "* ]] || return 0
    limit=$((limit * ${LIMIT_FACTOR:-1}))
    parts+=("$name")
    if [ "$left" -lt 15 ]; then
        echo "left out: no time" >"$folder/$name.txt"
        return
    fi
    [ "$limit" -lt "$left" ] || limit=$left
    timeout -k 5 "$limit" "$@" >"$folder/$name.txt" 2>&1 &
    current=$!
    wait "$current"
    code=$?
    [ "$code" -eq 0 ] || echo "exit code $code (124, 137: over its limit of $limit s)" >>"$folder/$name.txt"
    echo "$name: exit code $code after $((SECONDS - start)) s"
}

row() { # NAME LIMIT CASE DTYPE FLAGS...
    local name=$1 limit=$2 case=$3 dtype=$4
    shift 4
    part "$name" "$limit" "$python" benchmarks/run.py "$case" --dtype="$dtype" \
        --seconds=8 --json="$folder/$name.json" "$@" "${small[@]}"
}

row cyclegan256-bfloat16 100 cyclegan256 bfloat16 --profile
row cyclegan256_batch8-bfloat16 100 cyclegan256_batch8 bfloat16 --profile
row cyclegan256-tf32 140 cyclegan256 tf32 --memory
row cifar_resnet-tf32 90 cifar_resnet tf32 --profile
row mlp-float32 60 mlp float32
part whole_loop 130 "$python" benchmarks/whole_loop.py --steps="$steps" \
    --json="$folder/whole_loop.json" ${SMOKE:+--smoke}
if [ -f benchmarks/layers.py ]; then
    part layers-bfloat16 70 "$python" benchmarks/layers.py cyclegan256_batch8 \
        --dtype=bfloat16 --json="$folder/layers-bfloat16.json"
    part layers-tf32 50 "$python" benchmarks/layers.py cifar_resnet \
        --dtype=tf32 --json="$folder/layers-tf32.json"
fi
# Fails, and says so, where the field train.remat does not exist.
part remat512 80 "$python" benchmarks/row.py cyclegan256 --only=jaxgan \
    --precision=bfloat16 --iterations=3 \
    --fields=train.remat=True,data.resize=572,data.image_size=512 ${SMOKE:+--smoke}
row dcgan64-tf32 60 dcgan64 tf32
if [ -f benchmarks/layers.py ]; then
    part forms-bfloat16 150 "$python" benchmarks/layers.py --forms cyclegan256_batch8 \
        --dtype=bfloat16 --json="$folder/forms-bfloat16.json"
fi

for name in "${parts[@]}"; do
    printf '\n== %s\n' "$name"
    # Of a row's output the last table is the whole one.
    tail -n 40 "$folder/$name.txt"
done
