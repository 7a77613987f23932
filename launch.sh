#!/usr/bin/env bash
# Sets this project up, if that has not been done, and trains one config: here, in
# several processes, on a Cloud TPU or through Slurm. ./launch.sh --help explains.
set -euo pipefail

repo=$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
venv=$repo/.venv
print_only=false
processes='' tpu='' zone='' project='' slurm=''
grace=60 # seconds that the others are given after one process has failed
pids=()
signal_all=signal_processes # the function that passes a signal on to them
# What a launch has started on a worker: pip and training, and this script there. (The
# brackets keep the shell that looks for them from finding itself.)
in_venv='/jaxgan/code/[.]venv/bin' script='^bash code/launch[.]sh'

usage() {
  cat <<'TEXT'
Usage: ./launch.sh [--print] CONFIG[:VARIANT] [FLAG ...]
       ./launch.sh --processes N CONFIG[:VARIANT] [FLAG ...]
       ./launch.sh --tpu NAME --zone ZONE [--project P] CONFIG[:VARIANT] [FLAG ...]
       ./launch.sh --slurm [SBATCH_OPTION ...] CONFIG[:VARIANT] [FLAG ...]

Makes the virtual environment .venv beside this script if there is none,
installs the project into it (with CUDA where nvidia-smi finds a GPU, with
TensorFlow where the data has to be prepared by TFDS), and runs

    python -m jaxgan.main --config=CONFIG[:VARIANT] FLAG ...

CONFIG is looked for in the current folder, then beside this script. Later runs
install again only after pyproject.toml has changed. The same command again
resumes the run.

  --print   show the commands and run none of them (nvidia-smi is asked for GPUs)
  --help    show this help

--processes N   N processes on this machine, each with its share of the GPUs.
  Process 0 writes to the terminal, process I to logs/NAME/process-I.log. When one
  fails the others are given 60 seconds, then SIGTERM, after 60 more SIGKILL; the
  exit code is that of the first to fail. Ctrl-C and SIGTERM are passed on to all,
  which save and end; SIGQUIT (Ctrl-\) kills them.

--tpu NAME --zone ZONE [--project P]   all workers of a Cloud TPU VM or pod slice.
  Copies the code to ~/jaxgan/code of every worker (what git tracks, and what it
  does not ignore), installs it there for TPUs, and trains, with ~/jaxgan as the
  current folder. The output of worker I is in logs/NAME/worker-I.log here, that of
  worker 0 on the terminal too. Ctrl-C and SIGTERM are passed on to all workers.
  More than one worker needs --workdir=gs://BUCKET/...; so does a TPU that may be
  deleted. After a maintenance event, or when the connection was lost, run the same
  command again: what an earlier launch left running on a worker is ended first, by
  SIGTERM, then after 60 seconds by SIGKILL, and the run resumes.

--slurm [SBATCH_OPTION ...]   submits a job with sbatch, one process a node.
  Options before CONFIG are sbatch's, written with =, flags after it are training's.
  This folder, the current one and the workdir must be on file systems that all
  nodes share. 120 seconds before the time limit, and on preemption, the run is
  saved and the job queued again. Logs: logs/NAME/JOB.log and JOB-PROCESS.log.

NAME in logs/NAME is the last part of --workdir, or CONFIG[-VARIANT].

The environment variable PYTHON names the Python (3.11 or newer) that .venv is
made with; python3 by default. ACCELERATOR names what to install for: cuda, tpu or
none, where nvidia-smi, or for --slurm an option that names a gpu, does not tell.
Where CONFIG or a flag has a gs:// path, what reads and writes it is installed too.

Examples:
  ./launch.sh configs/wgan_gp.py
  ./launch.sh configs/wgan_gp.py:toy --workdir=runs/toy --config.train.seed=1
  ./launch.sh --processes 2 configs/wgan_gp.py
  ./launch.sh --tpu pod --zone us-central2-b configs/wgan_gp.py --workdir=gs://b/run
  ./launch.sh --slurm --nodes=4 --gpus-per-node=8 --exclusive configs/wgan_gp.py

The flags of training: .venv/bin/python -m jaxgan.main --help
TEXT
}

fail() { # fail EXIT_CODE MESSAGE: one line on stderr, as every command gives it
  echo "jaxgan: error: $2" >&2
  exit "$1"
}

quoted() { # quoted WORD ...: prints the words as a shell would read them
  local line
  printf -v line '%q ' "$@"
  echo "${line% }"
}

run() { # run COMMAND ...: shows it, and runs it unless --print was given
  if "$print_only"; then
    quoted "$@"
  else
    echo "+ $(quoted "$@")" >&2
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

needed() { # needed FLAG ...: prints the extras to install, as in [cuda,gcs]
  local extras=${ACCELERATOR:-}
  if [[ -z $extras ]] && has_gpu; then extras=cuda; fi
  if [[ $extras == none ]]; then extras=''; fi
  if [[ " $*" == *[\ =]gs://* ]]; then extras+=,gcs; fi
  if [[ -n $extras ]]; then echo "[${extras#,}]"; fi
}

set_up() { # set_up COMMAND ...: readies .venv for the command that trains
  install_project "$@"
  # Behind the command's: python -m jaxgan.main.
  install_tensorflow "${@:4}"
}

install_project() { # install_project FLAG ...: makes .venv and installs, each only where needed
  local extras made_with stamp
  extras=$(needed "$@")
  # One stamp for each set of extras: a home shared by machines with and without a
  # GPU is not installed anew at each change. The folder is part of it, for it may move.
  stamp=$venv/.installed$extras
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
  run "$venv/bin/python" -m pip install -e "$repo$extras" ||
    fail 1 "the project could not be installed into $venv: see above"
  "$print_only" || echo "$made_with" >"$stamp"
}

install_tensorflow() { # install_tensorflow FLAG ...: where the data is TFDS's, which needs it once
  local name command=("$venv/bin/python" -m pip install -e "${repo}[tfds]")
  # The config tells what its data is; without a variant it is one that comes with us.
  [[ "$*" =~ --config=[^:\ ]*:|tfds: ]] || return 0
  if compgen -G "$venv/lib/python*/site-packages/tensorflow" >/dev/null; then return; fi
  if "$print_only"; then
    echo "$(quoted "${command[@]}") # where data.name is tfds:..."
    return
  fi
  # What is wrong with the config is for training to say.
  name=$("$venv/bin/python" -c 'import sys
from jaxgan import cli
print(cli.parse_config(sys.argv[1:])[0].data.name)' "$@" 2>/dev/null) || return 0
  if [[ $name == tfds:* ]]; then
    run "${command[@]}" ||
      fail 1 "TensorFlow, which $name needs once, could not be installed: see above"
  fi
}

workdir() { # workdir FLAG ...: prints what --workdir says, or nothing
  local found=''
  while (($#)); do
    case $1 in
      --workdir=* | -workdir=*) found=${1#*=} ;;
      --workdir | -workdir) found=${2:-} ;;
    esac
    shift
  done
  while [[ $found == */ ]]; do found=${found%/}; done
  echo "$found"
}

name_of_run() { # name_of_run CONFIG FLAG ...: prints what its logs are filed under
  local file=${1%%:*} name
  name=$(workdir "${@:2}")
  if [[ ${name##*/} =~ [^.] ]]; then
    name=${name##*/}
  else # none, or one as runs/..
    name=${file##*/} name=${name%.py}${1#"$file"}
    name=${name/:/-}
  fi
  name=${name//\//_}
  echo "${name//%/_}" # Slurm has a meaning for %
}

start() { # start REDIRECTION COMMAND ...: in the background; REDIRECTION is written for a shell
  local line
  line="$(quoted "${@:2}") </dev/null${1:+ $1} &"
  if "$print_only"; then
    echo "$line"
    return
  fi
  trap '"$signal_all" INT' INT
  trap '"$signal_all" TERM' TERM HUP
  trap '"$signal_all" KILL' QUIT
  # Job control gives each its own process group: Ctrl-C in a terminal then reaches
  # this script alone, which passes it on. Each process gets it once, and not never:
  # without job control the shell has what it starts with & ignore it.
  set -m
  eval "$line"
  pids+=("$!")
  set +m
}

signal_processes() { # signal_processes SIGNAL: to those started and still there
  local pid
  for pid in ${pids[@]+"${pids[@]}"}; do
    # What a process has started is killed with it; it ends that itself otherwise.
    if [[ $1 == KILL ]]; then pid=-$pid; fi
    kill -s "$1" -- "$pid" 2>/dev/null || true
  done
}

wait_for_all() { # exits with the code of the first that failed, 0 if none did
  local code=0 deadline=0 next=TERM i status
  while ((${#pids[@]})); do
    sleep 0.2 || true # a signal ends it
    for i in "${!pids[@]}"; do
      if kill -0 "${pids[i]}" 2>/dev/null; then continue; fi
      status=0
      wait "${pids[i]}" 2>/dev/null || status=$?
      unset "pids[i]"
      if ((status && !code)); then
        code=$status deadline=$((SECONDS + grace))
        echo "jaxgan: process $i ended with exit code $code; the logs are in $logs" >&2
      fi
    done
    if ((deadline && ${#pids[@]} && SECONDS >= deadline)); then
      echo "jaxgan: SIG$next to the processes that are left" >&2
      "$signal_all" "$next"
      deadline=$((SECONDS + grace)) next=KILL
    fi
  done
  exit "$code"
}

train_in_processes() { # train_in_processes COMMAND ...
  local devices=() own share port=A_FREE_PORT i command redirection
  if [[ -n ${CUDA_VISIBLE_DEVICES+set} ]]; then
    IFS=, read -ra devices <<<"$CUDA_VISIBLE_DEVICES"
  elif has_gpu; then
    while read -r _; do devices+=("${#devices[@]}"); done < <(nvidia-smi -L | grep '^GPU ')
  fi
  share=$((${#devices[@]} / processes))
  ((share * processes == ${#devices[@]})) ||
    fail 2 "--processes = $processes: must divide the ${#devices[@]} GPUs (CUDA_VISIBLE_DEVICES can name fewer)"
  set_up "$@"
  run mkdir -p "$logs"
  "$print_only" || port=$("$venv/bin/python" -c 'import socket
with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    print(free.getsockname()[1])')
  for ((i = 0; i < processes; i++)); do
    command=("$@" "--coordinator=127.0.0.1:$port" "--num_processes=$processes" "--process_id=$i")
    if ((share)); then
      own=("${devices[@]:i*share:share}")
      command=(env "CUDA_VISIBLE_DEVICES=$(IFS=, && echo "${own[*]}")" "${command[@]}")
    fi
    redirection=''
    if ((i)); then redirection=">>$(quoted "$logs/process-$i.log") 2>&1"; fi
    start "$redirection" "${command[@]}"
  done
  "$print_only" || wait_for_all
}

preparation() { # prints what every worker of a TPU does first
  echo "set -e; ours='$in_venv|$script'"
  cat <<'TEXT'
if pkill -TERM -f "$ours"; then
  echo 'ending what an earlier launch left running'
  for _ in $(seq 60); do pgrep -f "$ours" >/dev/null || break; sleep 1; done
  pkill -KILL -f "$ours" || true
fi
mkdir -p jaxgan
cd jaxgan
rm -rf new
mkdir new
tar -xzf ../jaxgan.tar.gz -C new
if [ -d code/.venv ]; then mv code/.venv new/; fi
rm -rf code
mv new code
# Most TPU images are Ubuntu 22.04, whose Python is 3.10.
if [ ! -x code/.venv/bin/python ] && ! python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
  python3 -m pip install --user uv
  python3 -m uv venv --seed --python 3.12 code/.venv
fi
TEXT
}

code_files() { # prints, with zeros between, what to copy: what git tracks or does not ignore
  local file
  if git ls-files --error-unmatch launch.sh >/dev/null 2>&1; then
    git ls-files -z --cached --others --exclude-standard |
      while IFS= read -rd '' file; do # those that are deleted are listed too
        if [[ -e $file ]]; then printf '%s\0' "$file"; fi
      done
  else # no checkout, but a copy of one
    find . \( -path ./.venv -o -path ./runs -o -path ./logs -o -path ./.git \
      -o -name __pycache__ \) -prune -o -type f -print0
  fi
}

pack() { # pack FILE: the code as .tar.gz
  local tar=(tar -C "$repo" -czf "$1" --null -T -)
  if "$print_only"; then
    echo "$(quoted "${tar[@]}") # of the files that git tracks or does not ignore"
  else
    (cd -- "$repo" && code_files) | run "${tar[@]}" ||
      fail 1 "the code could not be packed: see above"
  fi
}

signal_workers() { # signal_workers SIGNAL: to what runs on all workers; its ssh ends with it
  run "${gcloud[@]}" ssh "$tpu" "${where[@]}" --worker=all \
    "--command=pkill -$1 -f '$in_venv'; pkill -TERM -f '$script' || true" </dev/null || true
  if [[ $1 == KILL ]]; then signal_processes KILL; fi
}

find_workers() { # find_workers FLAG ...: sets train_on_tpu's addresses (internal, in order), number and workers
  local found place describe
  describe=("${gcloud[@]}" describe "${tpu#*@}" "${where[@]}"
    '--format=value(networkEndpoints[].ipAddress)')
  if "$print_only"; then
    echo "$(quoted "${describe[@]}") # tells ADDRESS_OF_WORKER_0 and NUMBER_OF_WORKERS"
    return
  fi
  found=$("${describe[@]}") || fail 1 "--tpu = $tpu: cannot be described: see above"
  IFS=';' read -ra addresses <<<"$found"
  [[ -n $found ]] || fail 1 "--tpu = $tpu: has no workers now"
  number=${#addresses[@]} workers=("${!addresses[@]}")
  place=$(workdir "$@")
  [[ $number == 1 || $place == gs://* ]] ||
    fail 2 "--workdir = ${place:-nothing}: $number workers need one that all of them see, --workdir=gs://BUCKET/..."
}

train_on_tpu() { # train_on_tpu CONFIG FLAG ...
  local addresses=(ADDRESS_OF_WORKER_0) number=NUMBER_OF_WORKERS workers=(WORKER)
  local lost="'the connection was lost; run ./launch.sh again'"
  local file=${1%%:*} variant train worker log
  variant=${1#"$file"}
  file=$(cd -- "$(dirname -- "$file")" && pwd)/${file##*/}
  [[ $file == "$repo"/* ]] ||
    fail 2 "CONFIG = $1: must be inside $repo, which is what --tpu copies"
  find_workers "${@:2}"
  train=(bash code/launch.sh "code${file#"$repo"}$variant" "${@:2}"
    "--coordinator=${addresses[0]}:8476" "--num_processes=$number")
  run mkdir -p "$logs"
  pack "$logs/code.tar.gz"
  run "${gcloud[@]}" scp "$logs/code.tar.gz" "$tpu:jaxgan.tar.gz" "${where[@]}" --worker=all ||
    fail 1 "the code could not be copied to $tpu: see above"
  run "${gcloud[@]}" ssh "$tpu" "${where[@]}" --worker=all "--command=$(preparation)" ||
    fail 1 "$tpu could not be prepared: see above"
  signal_all=signal_workers
  for worker in "${workers[@]}"; do
    log=$(quoted "$logs/worker-$worker.log")
    if [[ $worker == 0 ]]; then log="> >(tee -ai $log) 2>&1"; else log=">>$log 2>&1"; fi
    # One ssh each, for gcloud mixes the output of several. When a connection is lost
    # gcloud gives the command again, to a worker where training may well go on.
    start "$log" "${gcloud[@]}" ssh "$tpu" "${where[@]}" "--worker=$worker" \
      --ssh-flag=-oServerAliveInterval=30 \
      "--command=if pgrep -f '$in_venv' >/dev/null; then echo $lost; exit 1; fi; cd jaxgan && ACCELERATOR=tpu $(quoted "${train[@]}" "--process_id=$worker")"
  done
  "$print_only" || wait_for_all
}

job() { # job COMMAND ...: prints the script that Slurm runs on the job's first node
  echo "#!/bin/bash"
  echo "train=($(quoted "$@"))"
  echo "logs=$(quoted "$logs")"
  cat <<'TEXT'
host=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
port=$((61440 + SLURM_JOB_ID % 4096)) # above those that systems hand out themselves
train+=("--coordinator=$host:$port" "--num_processes=$SLURM_JOB_NUM_NODES")
# Since 22.05 srun does not take over what sbatch was given.
if [ -n "${SLURM_CPUS_PER_TASK:-}" ]; then export SRUN_CPUS_PER_TASK=$SLURM_CPUS_PER_TASK; fi
# When one process fails the others notice by themselves; a process that hangs is ended
# after 300 seconds, which a good end of some must leave the others too.
code=0
srun --ntasks="$SLURM_JOB_NUM_NODES" --ntasks-per-node=1 --kill-on-bad-exit=0 --wait=300 \
  --open-mode=append --output="$logs/%j-%t.log" \
  bash -c 'exec "$@" "--process_id=$SLURM_PROCID"' bash "${train[@]}" || code=$?
# 143: saved and stopped by SIGTERM. Where the time limit is near (--signal) or the job has
# a grace time before preemption, Slurm signals the processes, and would take the job for
# ended; so it is queued again here. When a job is preempted without a grace time, or
# cancelled, this script is ended too: then Slurm queues it again, or rightly does not.
if [ "$code" = 143 ]; then scontrol requeue "$SLURM_JOB_ID"; fi
exit "$code"
TEXT
}

submit() { # submit COMMAND ...: with sbatch, in the environment made here
  local options=(--ntasks-per-node=1 --requeue --signal=TERM@120 --open-mode=append
    "--job-name=${logs##*/}" "--output=$logs/%j.log" ${sbatch_options[@]+"${sbatch_options[@]}"})
  case " ${sbatch_options[*]-} " in # the machine that submits may have none
    *[Gg][Pp][Uu]* | *' -G'*) ACCELERATOR=${ACCELERATOR:-cuda} ;;
  esac
  set_up "$@"
  run mkdir -p "$logs"
  if "$print_only"; then
    printf '%s <<'\''SCRIPT'\''\n%s\nSCRIPT\n' "$(quoted sbatch "${options[@]}")" "$(job "$@")"
  else
    echo "+ $(quoted sbatch "${options[@]}")" >&2
    job "$@" | sbatch "${options[@]}" || fail 1 "the job could not be submitted: see above"
  fi
}

check_options() { # check_options FLAG ...: exits where they do not go together
  local modes="${processes:+--processes }${tpu:+--tpu }${slurm:+--slurm }"
  local theirs=' --?(coordinator|num_processes|process_id)[= ]' program
  [[ $modes != *' --'* ]] || fail 2 "${modes% }: one of them at a time"
  [[ -z $processes || $processes =~ ^[1-9][0-9]{0,2}$ ]] ||
    fail 2 "--processes = $processes: must be a whole number from 1 to 999"
  [[ -z $tpu || -n $zone ]] || fail 2 "--tpu = $tpu: needs its --zone ZONE too"
  [[ -n $tpu || -z $zone ]] || fail 2 "--zone = $zone: is for --tpu NAME"
  [[ -n $tpu || -z $project ]] || fail 2 "--project = $project: is for --tpu NAME"
  [[ -z $modes || ! " $*" =~ $theirs ]] ||
    fail 2 "--${BASH_REMATCH[1]}: is set by ${modes% }"
  program=${tpu:+gcloud}${slurm:+sbatch}
  [[ -z $program ]] || "$print_only" || command -v "$program" >/dev/null ||
    fail 2 "$program: not found; ${modes% } needs it"
}

arguments=()
while (($#)); do
  case $1 in
    --help | -h) usage && exit ;;
    --print) print_only=true ;;
    --slurm) slurm=yes ;;
    --processes=* | --tpu=* | --zone=* | --project=*)
      set -- "${1%%=*}" "${1#*=}" "${@:2}"
      continue
      ;;
    --processes | --tpu | --zone | --project)
      [[ -n ${2:-} && $2 != --* ]] || fail 2 "$1 = nothing: a value is missing"
      printf -v "${1#--}" '%s' "$2"
      shift
      ;;
    *) arguments+=("$1") ;;
  esac
  shift
done
# (The odd expansion: bash before 4.4 takes an empty array for an unset one.)
set -- ${arguments[@]+"${arguments[@]}"}

check_options "$@"
sbatch_options=()
while [[ -n $slurm && ${1:-} == -* ]]; do
  sbatch_options+=("$1")
  shift
done
if [[ $# == 0 || $1 == -* ]]; then
  fail 2 "CONFIG = ${1:-nothing}: the first argument is a config file, as in ./launch.sh configs/wgan_gp.py"
fi
config=$(find_config "$1")
shift
logs=logs/$(name_of_run "$config" "$@")
train=("$venv/bin/python" -m jaxgan.main "--config=$config" "$@")
if [[ -n $processes ]]; then
  train_in_processes "${train[@]}"
elif [[ -n $tpu ]]; then
  gcloud=(gcloud compute tpus tpu-vm) where=("--zone=$zone" ${project:+"--project=$project"})
  train_on_tpu "$config" "$@"
elif [[ -n $slurm ]]; then
  submit "${train[@]}"
else
  set_up "${train[@]}"
  if "$print_only"; then
    run "${train[@]}"
  else
    exec "${train[@]}" # so that signals reach training, and its exit code the caller
  fi
fi
