#!/usr/bin/env bash
# Sets this project up, if that has not been done, and trains one config.
# ./launch.sh --help explains.
set -euo pipefail

repo=$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
venv=$repo/.venv
print_only=false

usage() {
  cat <<'TEXT'
Usage: ./launch.sh [--print] CONFIG[:VARIANT] [FLAG ...]

Makes the virtual environment .venv beside this script if there is none,
installs the project into it (with CUDA where nvidia-smi finds a GPU), and runs

    python -m jaxgan.main --config=CONFIG[:VARIANT] FLAG ...

CONFIG is looked for in the current folder, then beside this script. Later runs
install again only after pyproject.toml has changed.

  --print   show the commands and run none of them
  --help    show this help

The environment variable PYTHON names the Python (3.11 or newer) that .venv is
made with; python3 by default.

Examples:
  ./launch.sh configs/wgan_gp.py
  ./launch.sh configs/wgan_gp.py:toy --workdir=runs/toy --config.train.seed=1

The flags of training: .venv/bin/python -m jaxgan.main --help
TEXT
}

fail() { # fail EXIT_CODE MESSAGE: one line on stderr, as every command gives it
  echo "jaxgan: error: $2" >&2
  exit "$1"
}

run() { # run COMMAND ...: shows it, and runs it unless --print was given
  local line
  printf -v line '%q ' "$@"
  if "$print_only"; then
    echo "${line% }"
  else
    echo "+ ${line% }" >&2
    "$@" >&2 # standard output is left to training
  fi
}

check_python() { # check_python PYTHON: exits unless it is 3.11 or newer
  local version
  command -v "$1" >/dev/null ||
    fail 2 "$1: not found; Python 3.11 or newer is needed (PYTHON=/path/to/python3 names it)"
  version=$("$1" -c 'import sys
print(sys.version.split()[0])
sys.exit(sys.version_info < (3, 11))') ||
    fail 2 "$1: is Python ${version:-unknown}, 3.11 or newer is needed (PYTHON=/path/to/python3 names another)"
}

has_gpu() {
  local gpus
  gpus=$(nvidia-smi -L 2>/dev/null) && [[ $gpus == "GPU "* ]]
}

find_config() { # prints where CONFIG[:VARIANT] is: in the current folder or beside this script
  local file=${1%%:*} valid
  if [[ -f $file ]]; then
    echo "$1"
  elif [[ $file != /* && -f $repo/$file ]]; then
    echo "$repo/$1"
  else
    valid=$(cd -- "$repo" && printf '%s, ' configs/*.py)
    fail 2 "CONFIG = $file: no such file; there are: ${valid%, }"
  fi
}

set_up() { # makes .venv and installs the project, each only where needed
  local extra='' made_with stamp
  if has_gpu; then extra='[cuda]'; fi
  # One stamp an extra: a home shared by machines with and without a GPU is not
  # installed anew at each change. The folder is part of it, for it may move.
  stamp=$venv/.installed$extra
  made_with="$repo $(cksum <"$repo/pyproject.toml")"
  if [[ -x $venv/bin/python && -f $stamp && $(<"$stamp") == "$made_with" ]]; then
    return
  fi
  if [[ ! -x $venv/bin/python ]]; then
    local python=${PYTHON:-python3}
    "$print_only" || check_python "$python"
    run "$python" -m venv "$venv" ||
      fail 1 "$venv could not be made: see above (Debian and Ubuntu: apt install python3-venv)"
  fi
  "$print_only" || check_python "$venv/bin/python"
  # An environment whose making was interrupted, or that uv made, has no pip.
  if ! "$print_only" && ! "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
    run "$venv/bin/python" -m ensurepip ||
      fail 1 "$venv has no pip: remove it and try again"
  fi
  run "$venv/bin/python" -m pip install -e "$repo$extra" ||
    fail 1 "the project could not be installed into $venv: see above"
  "$print_only" || echo "$made_with" >"$stamp"
}

arguments=()
for argument in "$@"; do
  case $argument in
    --help | -h) usage && exit ;;
    --print) print_only=true ;;
    *) arguments+=("$argument") ;;
  esac
done
# (The odd expansion: bash before 4.4 takes an empty array for an unset one.)
set -- ${arguments[@]+"${arguments[@]}"}

if [[ $# == 0 || $1 == -* ]]; then
  fail 2 "CONFIG = ${1:-nothing}: the first argument is a config file, as in ./launch.sh configs/wgan_gp.py"
fi
config=$(find_config "$1")
shift
set_up
train=("$venv/bin/python" -m jaxgan.main "--config=$config" "$@")
if "$print_only"; then
  run "${train[@]}"
else
  exec "${train[@]}" # so that signals reach training, and its exit code the caller
fi
