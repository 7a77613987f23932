"""launch.sh in a copied folder, with stubs for Python, gcloud and Slurm.

The stubs log how they are called. There is no network: what would run on another
machine runs on this one, in a folder of its own.
"""

import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# Each stub begins with this: it logs its call as one record, in one write.
LOG = r"""#!/usr/bin/env bash
printf '%s\x1f' "$0" "$@" $'\x1e' >> "$CALLS"
"""

# Stands for python3 and, copied there by `-m venv`, for .venv/bin/python.
PYTHON = (
    LOG
    + r"""
id=${*: -1} id=${id#--process_id=}
case "$*" in
  "-c import socket"*) echo 45678 ;;
  "-c import sys"*"jaxgan import cli"*) echo "${STUB_DATA:-digits}" ;;
  -c*) echo "${STUB_VERSION:-3.12.1}"; [[ ${STUB_VERSION:-3.12.1} != 3.10* ]] ;;
  "-m venv "*) mkdir -p "$3/bin" && cp "$0" "$3/bin/python" ;;
  "-m uv venv "*) mkdir -p "${*: -1}/bin" && cp "$0" "${*: -1}/bin/python" ;;
  "-m pip --version") [[ -z ${STUB_NO_PIP:-} ]] ;;
  "-m pip install"*) exit "${STUB_PIP_EXIT:-0}" ;;
  "-m jaxgan.main"*)
    echo "trained${CUDA_VISIBLE_DEVICES+ on $CUDA_VISIBLE_DEVICES}"
    [[ ${STUB_WAITS:-none} =~ ^($id|all)$ ]] || exit "${STUB_TRAIN_EXIT:-0}"
    code=0
    trap 'echo "$id INT" >> "$CALLS.signals"; code=130' INT
    trap 'echo "$id TERM" >> "$CALLS.signals"; code=143' TERM
    echo > "$CALLS.waits.$id"
    for ((i = 0; i < 600; i++)); do
      sleep 0.05
      if [[ -f $CALLS.pkill ]]; then exit 143; fi
      # Not at once, for a second signal would be one too many.
      if ((code)); then sleep 0.3; [[ -n ${STUB_HANGS:-} ]] || exit "$code"; fi
    done ;;
esac
"""
)

# Runs what ssh would as one of the workers, in a folder that stands for its home. The
# words of the command are split and joined by spaces, as gcloud and ssh do it.
GCLOUD = (
    LOG
    + r"""
worker=all
for word in "$@"; do
  case $word in
    --worker=*) worker=${word#*=} ;;
    --command=*) command=${word#*=} ;;
  esac
done
[[ $worker != all ]] || worker='*'
case $4 in
  describe) echo "${STUB_ADDRESSES-10.0.0.1}"; exit "${STUB_DESCRIBE_EXIT:-0}" ;;
  scp) for home in "$HOMES"/$worker; do cp "$5" "$home/${6#*:}"; done
    exit "${STUB_SCP_EXIT:-0}" ;;
  ssh)
    code=0
    for home in "$HOMES"/$worker; do
      (cd "$home" && HOME=$home bash -c "$command") || code=$?
    done
    exit "$code" ;;
esac
"""
)

# The words before the command are srun's own; both processes run one after the other.
SRUN = (
    LOG
    + r"""
while [[ $1 == --* ]]; do shift; done
for SLURM_PROCID in 0 1; do export SLURM_PROCID; "$@" || exit; done
"""
)


class Folder:
    """A copy of the project with stubs, in a path with a space in it."""

    def __init__(self, root: Path):
        self.repo = root / "my project"
        self.bin = root / "bin"
        self.calls = root / "calls"
        self.homes = root / "homes"
        (self.repo / "configs").mkdir(parents=True)
        self.bin.mkdir()
        for worker in ("0", "1"):
            (self.homes / worker).mkdir(parents=True)
        shutil.copy(ROOT / "launch.sh", self.repo)
        (self.repo / "pyproject.toml").write_text("[project]\n")
        (self.repo / "configs" / "wgan.py").touch()
        (self.repo / "configs" / "wgan_gp.py").touch()
        self.venv = self.repo / ".venv"
        self.python = f"{self.venv}/bin/python"
        self.add("python3", PYTHON)
        self.add("nvidia-smi", "#!/usr/bin/env bash\nexit 9\n")  # hides a real one
        # These too: what they are given must never reach a real one.
        self.add("pkill", LOG + '[[ -f $CALLS.waits.0 ]] && touch "$CALLS.pkill"\n')
        self.add("pgrep", LOG + "exit 1\n")
        self.add("gcloud", GCLOUD)
        self.add("sbatch", LOG + 'cat > "$CALLS.job"; echo Submitted batch job 4097\n')
        self.add("srun", SRUN)
        self.add("scontrol", LOG + '[[ $1 != show ]] || printf "%s\\n" node7 node8\n')

    def add(self, name: str, script: str) -> None:
        (self.bin / name).write_text(script)
        (self.bin / name).chmod(0o755)

    def environment(self, **variables: str) -> dict[str, str]:
        return {
            "PATH": f"{self.bin}:/usr/bin:/bin",
            "CALLS": str(self.calls),
            "HOMES": str(self.homes),
            **variables,
        }

    def read_calls(self) -> list[list[str]]:
        """Return the words of each call of a stub so far."""
        text = self.calls.read_text() if self.calls.exists() else ""
        return [call.split("\x1f")[:-1] for call in text.split("\x1e\x1f")[:-1]]

    def launch(self, *arguments: str, cwd: Path | None = None, **variables: str):
        """Return (exit code, stdout, stderr, the stubs' calls) of one launch.

        A call is its words with spaces between, without the lines after the first.
        """
        self.calls.unlink(missing_ok=True)
        done = subprocess.run(
            [self.repo / "launch.sh", *arguments],
            cwd=cwd or self.repo,
            env=self.environment(**variables),
            capture_output=True,
            text=True,
            timeout=30,
        )
        calls = [" ".join(words).splitlines()[0] for words in self.read_calls()]
        return done.returncode, done.stdout, done.stderr, calls

    def start(self, *command: str, **variables: str) -> subprocess.Popen[str]:
        """Start `command`; return when two processes wait for a signal."""
        process = subprocess.Popen(
            command,
            cwd=self.repo,
            env=self.environment(STUB_WAITS="all", **variables),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for number in ("0", "1"):
            while not Path(f"{self.calls}.waits.{number}").exists():
                assert process.poll() is None, process.communicate()
                time.sleep(0.02)
        return process

    def signals(self) -> list[str]:
        """Return 'PROCESS SIGNAL' for each signal that a process got."""
        return sorted(Path(f"{self.calls}.signals").read_text().splitlines())

    def be_impatient(self) -> None:
        """Let a launch wait 1 second, not 60, for the others after one has failed."""
        script = (self.repo / "launch.sh").read_text()
        assert "\ngrace=60 #" in script
        (self.repo / "launch.sh").write_text(script.replace("grace=60", "grace=1"))


@pytest.fixture
def folder(tmp_path):
    return Folder(tmp_path)


def test_first_run_sets_up_and_trains(folder):
    code, out, _, calls = folder.launch("configs/wgan_gp.py", "--dry_run", "--x=a b")
    assert (code, out) == (0, "trained\n")
    assert calls == [
        f"{folder.bin}/python3 -c import sys",
        f"{folder.bin}/python3 -m venv {folder.venv}",
        f"{folder.python} -c import sys",
        f"{folder.python} -m pip --version",
        f"{folder.python} -m pip install -e {folder.repo}",
        f"{folder.python} -m jaxgan.main --config=configs/wgan_gp.py --dry_run --x=a b",
    ]


def test_second_run_only_trains(folder):
    folder.launch("configs/wgan.py")
    _, _, _, calls = folder.launch("configs/wgan.py", "--workdir=runs/a:b")
    train = f"{folder.python} -m jaxgan.main --config=configs/wgan.py"
    assert calls == [f"{train} --workdir=runs/a:b"]


@pytest.mark.parametrize(
    ("arguments", "data", "needed"),
    [
        (["configs/wgan.py:mnist"], "tfds:mnist", True),
        (["configs/wgan.py", "--config.data.name=tfds:mnist"], "tfds:mnist", True),
        (["configs/wgan.py:toy,name=swissroll"], "swissroll", False),
    ],
)
def test_tensorflow_is_installed_where_tfds_needs_it(folder, arguments, data, needed):
    install = f"{folder.python} -m pip install -e {folder.repo}[tfds]"
    for there in (False, True):
        _, out, _, calls = folder.launch(*arguments, STUB_DATA=data)
        assert (calls.count(install), out) == (needed and not there, "trained\n")
        asked = [c for c in folder.read_calls() if "jaxgan import cli" in c[2]]
        given = [f"--config={arguments[0]}", *arguments[1:]]
        assert [call[3:] for call in asked] == [given] * (not there)
        package = folder.venv / "lib/python3.12/site-packages/tensorflow"
        package.mkdir(parents=True, exist_ok=True)


def test_the_python_in_the_script_fits_the_package(monkeypatch, capsys):
    """All other tests replace Python by a stub."""
    script = (ROOT / "launch.sh").read_text()
    (code,) = re.findall(r"-c '(import sys\nfrom jaxgan [^']*)'", script)
    config = f"--config={ROOT}/configs/wgan.py:mnist"
    monkeypatch.setattr(sys, "argv", ["-c", config, "--workdir=x"])
    exec(code, {})
    assert capsys.readouterr().out == "tfds:mnist\n"


def test_print_says_where_tensorflow_is_needed(folder):
    _, out, _, _ = folder.launch("--print", "configs/wgan.py:mnist")
    repo = str(folder.repo).replace(" ", "\\ ")
    line = f"{repo}/.venv/bin/python -m pip install -e {repo}\\[tfds\\]"
    assert f"{line} # where data.name is tfds:..." in out.splitlines()


@pytest.mark.parametrize(
    "arguments",
    [
        ["configs/wgan.py:folder,dir=gs://b/x"],
        ["configs/wgan.py", "--workdir=gs://b/x"],
        ["configs/wgan.py", "--workdir", "gs://b/x"],
    ],
)
def test_what_buckets_need_is_installed(folder, arguments):
    _, _, _, calls = folder.launch(*arguments)
    assert f"{folder.python} -m pip install -e {folder.repo}[gcs]" in calls


def test_a_changed_pyproject_is_installed_again(folder):
    folder.launch("configs/wgan.py")
    (folder.repo / "pyproject.toml").write_text("[project]\nname = 'other'\n")
    _, _, _, calls = folder.launch("configs/wgan.py")
    assert f"{folder.python} -m pip install -e {folder.repo}" in calls
    assert not any("-m venv" in call for call in calls)


def test_a_failed_installation_is_tried_again(folder):
    code, out, err, _ = folder.launch("configs/wgan.py", STUB_PIP_EXIT="1")
    assert (code, out) == (1, "")
    assert "jaxgan: error: the project could not be installed" in err
    code, out, _, calls = folder.launch("configs/wgan.py")
    assert (code, out) == (0, "trained\n")
    assert f"{folder.python} -m pip install -e {folder.repo}" in calls


def test_an_environment_without_pip_gets_it(folder):
    _, _, _, calls = folder.launch("configs/wgan.py", STUB_NO_PIP="1")
    assert f"{folder.python} -m ensurepip" in calls


def test_cuda_is_installed_where_there_is_a_gpu(folder):
    folder.launch("configs/wgan.py")
    folder.add("nvidia-smi", "#!/usr/bin/env bash\necho 'GPU 0: Some GPU (UUID: 1)'\n")
    _, _, _, calls = folder.launch("configs/wgan.py")
    assert f"{folder.python} -m pip install -e {folder.repo}[cuda]" in calls
    # Back on a machine without a GPU, the same environment is used.
    folder.add("nvidia-smi", "#!/usr/bin/env bash\necho 'No devices were found'\n")
    _, _, _, calls = folder.launch("configs/wgan.py")
    assert len(calls) == 1


@pytest.mark.parametrize("code", [1, 2, 143])
def test_the_exit_code_of_training_is_passed_on(folder, code):
    assert folder.launch("configs/wgan.py", STUB_TRAIN_EXIT=str(code))[0] == code


def test_from_another_folder(folder, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "mine.py").touch()
    _, _, _, calls = folder.launch("configs/wgan.py:toy", cwd=elsewhere)
    config = f"--config={folder.repo}/configs/wgan.py:toy"
    assert calls[-1] == f"{folder.python} -m jaxgan.main {config}"
    _, _, _, calls = folder.launch("mine.py", cwd=elsewhere)
    assert calls[-1] == f"{folder.python} -m jaxgan.main --config=mine.py"


@pytest.mark.parametrize("position", ["first", "last"])
def test_print_shows_the_commands_and_runs_none(folder, position):
    arguments = ["configs/wgan.py", "--x=a b"]
    arguments.insert(0 if position == "first" else 2, "--print")
    code, out, _, calls = folder.launch(*arguments)
    repo = str(folder.repo).replace(" ", "\\ ")
    assert (code, calls) == (0, [])
    assert out.splitlines() == [
        f"python3 -m venv {repo}/.venv",
        f"{repo}/.venv/bin/python -m pip install -e {repo}",
        f"{repo}/.venv/bin/python -m jaxgan.main --config=configs/wgan.py --x=a\\ b",
    ]
    assert not folder.venv.exists()


def test_print_shows_only_training_once_set_up(folder):
    folder.launch("configs/wgan.py")
    _, out, _, calls = folder.launch("configs/wgan.py", "--print")
    assert calls == []
    assert len(out.splitlines()) == 1


def test_help_explains(folder):
    code, out, _, calls = folder.launch("--help")
    assert (code, calls) == (0, [])
    assert out.startswith("Usage: ./launch.sh [--print] CONFIG[:VARIANT] [FLAG ...]\n")
    assert max(len(line) for line in out.splitlines()) <= 88


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["configs/wgn.py:toy"],
            "CONFIG = configs/wgn.py: no such file; "
            "there are: configs/wgan.py, configs/wgan_gp.py",
        ),
        ([], "CONFIG = nothing: the first argument is a config file, as in "),
        (["--workdir=x"], "CONFIG = --workdir=x: the first argument is a config file"),
    ],
)
def test_mistakes_are_one_line_and_exit_2(folder, arguments, message):
    code, out, err, calls = folder.launch(*arguments)
    assert (code, out, calls) == (2, "", [])
    assert err.startswith(f"jaxgan: error: {message}")
    assert err.count("\n") == 1


def test_an_old_python_is_refused(folder):
    code, _, err, calls = folder.launch("configs/wgan.py", STUB_VERSION="3.10.12")
    assert code == 2
    assert err.startswith("jaxgan: error: python3: is Python 3.10.12, 3.11 or newer")
    assert err.count("\n") == 1
    assert len(calls) == 1
    assert not folder.venv.exists()


def test_another_python_can_be_named(folder):
    folder.add("python3.12", PYTHON)
    folder.add("python3", PYTHON.replace("3.12.1", "3.10.0"))
    code, _, _, calls = folder.launch("configs/wgan.py", PYTHON="python3.12")
    assert code == 0
    assert calls[0] == f"{folder.bin}/python3.12 -c import sys"
    code, _, err, _ = folder.launch("configs/wgan.py", PYTHON="python9")
    assert code == 0  # the environment is there already
    shutil.rmtree(folder.venv)
    code, _, err, _ = folder.launch("configs/wgan.py", PYTHON="python9")
    assert code == 2
    assert err.startswith("jaxgan: error: python9: not found; Python 3.11 or newer")


def flags_of_training(folder):
    """Return the flags of each call that trains, in the order of --process_id."""
    calls = [call for call in folder.read_calls() if call[1:3] == ["-m", "jaxgan.main"]]
    return sorted((call[3:] for call in calls), key=lambda flags: flags[-1])


# Several processes on this machine


def test_processes_train_together(folder):
    code, out, _, _ = folder.launch(
        "--processes", "2", "configs/wgan.py:toy", "--x=a b"
    )
    assert (code, out) == (0, "trained\n")
    assert (folder.repo / "logs/wgan-toy/process-1.log").read_text() == "trained\n"
    given = ["--config=configs/wgan.py:toy", "--x=a b"]
    together = ["--coordinator=127.0.0.1:45678", "--num_processes=2"]
    assert flags_of_training(folder) == [
        [*given, *together, "--process_id=0"],
        [*given, *together, "--process_id=1"],
    ]


def test_logs_are_filed_under_the_workdir_and_grow(folder):
    for _ in range(2):
        folder.launch("configs/wgan.py", "--workdir=runs/a b/", "--processes=2")
    log = folder.repo / "logs/a b/process-1.log"
    assert log.read_text() == "trained\n" * 2


@pytest.mark.parametrize(
    ("workdir", "name"),
    [("gs://b/run//", "run"), ("runs/..", "wgan"), ("/", "wgan"), ("a/50%j", "50_j")],
)
def test_logs_stay_below_logs(folder, workdir, name):
    _, out, _, _ = folder.launch(
        "--print", "--processes=2", "configs/wgan.py", f"--workdir={workdir}"
    )
    assert f"mkdir -p logs/{name}" in out.splitlines()


def test_processes_share_the_gpus(folder):
    listed = "".join(f"GPU {i}: Some GPU (UUID: {i})\\n  MIG\\n" for i in range(4))
    folder.add("nvidia-smi", f"#!/usr/bin/env bash\nprintf '{listed}'\n")
    _, out, _, calls = folder.launch("--processes", "2", "configs/wgan.py")
    assert f"{folder.python} -m pip install -e {folder.repo}[cuda]" in calls
    log = folder.repo / "logs/wgan/process-1.log"
    assert (out, log.read_text()) == ("trained on 0,1\n", "trained on 2,3\n")

    code, out, err, calls = folder.launch("--processes", "3", "configs/wgan.py")
    assert (code, out, calls) == (2, "", [])
    assert err.startswith("jaxgan: error: --processes = 3: must divide the 4 GPUs ")

    visible = {"CUDA_VISIBLE_DEVICES": "5,3,1"}
    log.unlink()
    _, out, _, _ = folder.launch("--processes", "3", "configs/wgan.py", **visible)
    assert (out, log.read_text()) == ("trained on 5\n", "trained on 3\n")


def test_a_process_that_fails_ends_the_others(folder):
    folder.be_impatient()
    options = {"STUB_WAITS": "0", "STUB_TRAIN_EXIT": "3"}
    code, _, err, _ = folder.launch("--processes", "2", "configs/wgan.py", **options)
    assert code == 3
    assert "jaxgan: process 1 ended with exit code 3; the logs are in logs/wgan" in err
    assert folder.signals() == ["0 TERM"]


def test_a_process_that_hangs_is_killed(folder):
    folder.be_impatient()
    options = {"STUB_WAITS": "0", "STUB_TRAIN_EXIT": "3", "STUB_HANGS": "1"}
    code, _, err, _ = folder.launch("--processes", "2", "configs/wgan.py", **options)
    assert code == 3
    said = [line for line in err.splitlines() if line.startswith("jaxgan: SIG")]
    assert [line.split()[1] for line in said] == ["SIGTERM", "SIGKILL"]


@pytest.mark.parametrize(("number", "name"), [(2, "INT"), (15, "TERM"), (1, "TERM")])
def test_a_signal_is_passed_on_to_all_once(folder, number, name):
    process = folder.start("./launch.sh", "--processes", "2", "configs/wgan.py")
    process.send_signal(number)
    process.communicate(timeout=30)
    assert process.returncode == (130 if name == "INT" else 143)
    assert folder.signals() == [f"0 {name}", f"1 {name}"]


def test_sigquit_leaves_nothing_behind(folder):
    process = folder.start("./launch.sh", "--processes", "2", "configs/wgan.py")
    process.send_signal(signal.SIGQUIT)
    process.communicate(timeout=30)  # ends when all that share its output have ended
    assert process.returncode == 128 + signal.SIGKILL


# Runs its arguments on a terminal of their own, and types what it reads from stdin.
TERMINAL = """
import os, pty, sys
pid, terminal = pty.fork()
if pid == 0:
    os.execv(sys.argv[1], sys.argv[1:])
os.write(terminal, sys.stdin.buffer.read())
try:
    while os.read(terminal, 1024):
        pass
except OSError:
    pass
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""


def test_ctrl_c_in_a_terminal_reaches_all_once(folder):
    launch = ["./launch.sh", "--processes", "2", "configs/wgan.py"]
    process = folder.start(sys.executable, "-c", TERMINAL, *launch)
    process.communicate("\x03", timeout=30)
    assert process.returncode == 130
    assert folder.signals() == ["0 INT", "1 INT"]


# A Cloud TPU

POD = ["--tpu", "pod", "--zone", "z1", "--project=p"]
WHERE = "--zone=z1 --project=p"
# Patterns that find training and pip, and the script, on a worker.
IN_VENV, SCRIPT = "/jaxgan/code/[.]venv/bin", "^bash code/launch[.]sh"
TWO = {"STUB_ADDRESSES": "10.0.0.7;10.0.0.8"}


def git(folder, *arguments):
    subprocess.run(["git", "-C", folder.repo, *arguments], check=True)


def test_every_worker_of_a_pod_trains(folder):
    flags = ["--workdir=gs://b/run", "--x=a  'b'"]
    code, out, _, _ = folder.launch(*POD, "configs/wgan.py:toy", *flags, **TWO)
    assert code == 0
    vm = f"{folder.bin}/gcloud compute tpus tpu-vm"
    gcloud = [
        " ".join(call).splitlines()[0]
        for call in folder.read_calls()
        if call[0] == f"{folder.bin}/gcloud"
    ]
    assert gcloud[:3] == [
        f"{vm} describe pod {WHERE} --format=value(networkEndpoints[].ipAddress)",
        f"{vm} scp logs/run/code.tar.gz pod:jaxgan.tar.gz {WHERE} --worker=all",
        f"{vm} ssh pod {WHERE} --worker=all "
        f"--command=set -e; ours='{IN_VENV}|{SCRIPT}'",
    ]
    train = (
        f"--ssh-flag=-oServerAliveInterval=30 --command=if pgrep -f '{IN_VENV}' "
        ">/dev/null; then echo 'the connection was lost; run ./launch.sh again'; "
        "exit 1; fi; cd jaxgan && ACCELERATOR=tpu bash code/launch.sh "
    )
    assert sorted(line.partition(train)[0] for line in gcloud[3:]) == [
        f"{vm} ssh pod {WHERE} --worker=0 ",
        f"{vm} ssh pod {WHERE} --worker=1 ",
    ]
    given = ["--config=code/configs/wgan.py:toy", *flags]
    together = ["--coordinator=10.0.0.7:8476", "--num_processes=2"]
    assert flags_of_training(folder) == [
        [*given, *together, "--process_id=0"],
        [*given, *together, "--process_id=1"],
    ]
    code = folder.homes / "1/jaxgan/code"
    assert [str(code / ".venv/bin/python"), *["-m", "pip", "install", "-e"]] == next(
        call[:-1] for call in folder.read_calls() if call[-1] == f"{code}[tpu,gcs]"
    )
    logs = [folder.repo / f"logs/run/worker-{worker}.log" for worker in (0, 1)]
    assert [log.read_text().splitlines()[-1] for log in logs] == ["trained"] * 2
    assert out == logs[0].read_text()
    assert not folder.venv.exists()


def test_a_second_launch_on_a_tpu_only_brings_the_code(folder):
    config = folder.repo / "configs" / "wgan.py"
    (folder.repo / "configs" / "old.py").touch()
    folder.launch(*POD, "configs/wgan.py")
    run = folder.homes / "0/jaxgan/runs/wgan"
    run.mkdir(parents=True)
    (folder.repo / "configs" / "old.py").unlink()
    config.write_text("changed")
    code, _, _, calls = folder.launch(*POD, "configs/wgan.py")
    assert code == 0
    assert not [call for call in calls if "-m pip" in call or "-m venv" in call]
    copied = folder.homes / "0/jaxgan/code"
    assert (copied / "configs/wgan.py").read_text() == "changed"
    assert not (copied / "configs/old.py").exists()
    assert (copied / ".venv/bin/python").exists()
    assert run.exists()


@pytest.mark.parametrize("checkout", [True, False])
def test_the_code_is_copied_without_what_was_made_here(folder, checkout):
    for name in ("runs/wgan/x", ".venv/x", "data/x", "a b/é.py", "gone.py"):
        (folder.repo / name).parent.mkdir(parents=True, exist_ok=True)
        (folder.repo / name).touch()
    if checkout:
        (folder.repo / ".gitignore").write_text("/runs/\n/.venv/\n/data/\n/logs/\n")
        git(folder, "init", "-q")
        git(folder, "add", "gone.py", "launch.sh", "configs")
        (folder.repo / "gone.py").unlink()
    assert folder.launch(*POD, "configs/wgan.py")[0] == 0
    code = folder.homes / "0/jaxgan/code"
    found = {path.name for path in code.iterdir()} - {".gitignore", ".venv"}
    expected = {"launch.sh", "pyproject.toml", "configs", "a b"}
    assert found == expected | (set() if checkout else {"data", "gone.py"})
    assert (code / "a b/é.py").exists()
    assert not (code / ".venv/x").exists()


def test_an_earlier_launch_on_a_tpu_is_ended_first(folder):
    Path(f"{folder.calls}.waits.0").touch()
    _, out, err, calls = folder.launch(*POD, "configs/wgan.py")
    ends = [call for call in calls if "/pkill " in call or "/pgrep " in call]
    first = [call.removeprefix(f"{folder.bin}/") for call in ends][:-1]
    assert first == [
        f"pkill -TERM -f {IN_VENV}|{SCRIPT}",
        f"pgrep -f {IN_VENV}|{SCRIPT}",
        f"pkill -KILL -f {IN_VENV}|{SCRIPT}",
    ] * len(list(folder.homes.iterdir()))
    assert "ending what an earlier launch left running" in err
    assert out.endswith("trained\n")


def test_training_that_goes_on_is_waited_for_before_it_is_ended(folder):
    Path(f"{folder.calls}.waits.0").touch()
    folder.add("pgrep", LOG)
    folder.add("sleep", LOG)
    code, _, _, calls = folder.launch(*POD, "configs/wgan.py")
    assert code == 1  # pgrep says that training goes on: the connection was lost
    workers = len(list(folder.homes.iterdir()))
    assert calls.count(f"{folder.bin}/sleep 1") == 60 * workers
    assert not flags_of_training(folder)


def test_what_a_launch_has_started_on_a_worker_is_found(folder):
    """The patterns do not match the shells that run pkill or wait for training."""
    flags = ["configs/wgan.py", "--workdir=gs://b/run"]
    folder.launch(*POD, *flags, **TWO)
    shells = [
        f"bash -c {word.removeprefix('--command=')}"
        for call in folder.read_calls()
        for word in call
        if word.startswith("--command=")
    ]
    assert len(shells) == 3
    venv = "/home/me/jaxgan/code/.venv/bin/python"
    started = [
        f"{venv} -m jaxgan.main --config=code/configs/wgan.py --process_id=1",
        f"{venv} -m pip install -e /home/me/jaxgan/code[tpu]",
        "bash code/launch.sh code/configs/wgan.py --process_id=1",
    ]
    found = [re.search(f"{IN_VENV}|{SCRIPT}", line) for line in started + shells]
    assert [bool(match) for match in found] == [True] * 3 + [False] * 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"STUB_SCP_EXIT": "1"}, "could not be copied to pod"),
        ({"tar": "exit 1"}, "could not be packed"),
        ({"mkdir": "exit 1"}, "pod could not be prepared"),
    ],
)
def test_a_worker_without_the_code_does_not_train(folder, options, message):
    for name in ("tar", "mkdir"):
        script = options.pop(name, None)
        if script and name == "mkdir":  # on the workers; logs/ is made on this machine
            script = '[[ $2 == logs/* ]] && exec /bin/mkdir "$@"\nexit 1'
        if script:
            folder.add(name, f"#!/usr/bin/env bash\n{script}\n")
    code, _, err, _ = folder.launch(*POD, "configs/wgan.py", **options)
    assert code == 1
    last = err.splitlines()[-1]
    assert last.startswith("jaxgan: error: ")
    assert message in last
    assert not flags_of_training(folder)


def test_an_old_python_on_a_tpu_is_not_used(folder):
    _, _, _, calls = folder.launch(*POD, "configs/wgan.py", STUB_VERSION="3.10.12")
    made = [call.partition(" ")[2] for call in calls if "uv" in call]
    assert made == [
        "-m pip install --user uv",
        "-m uv venv --seed --python 3.12 code/.venv",
    ] * len(list(folder.homes.iterdir()))


def test_a_worker_that_fails_ends_the_others(folder):
    folder.be_impatient()
    options = {"STUB_WAITS": "0", "STUB_TRAIN_EXIT": "3", **TWO}
    flags = ["configs/wgan.py", "--workdir=gs://b/run"]
    code, _, err, calls = folder.launch(*POD, *flags, **options)
    assert code == 3
    assert "jaxgan: process 1 ended with exit code 3; the logs are in logs/run" in err
    assert f"{folder.bin}/pkill -TERM -f {IN_VENV}" in calls[-4:]


def test_a_signal_is_passed_on_to_the_workers(folder):
    flags = ["configs/wgan.py", "--workdir=gs://b/run"]
    process = folder.start("./launch.sh", *POD, *flags, **TWO)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    # The stub of pkill has training end as after SIGTERM.
    assert process.returncode == 143
    passed_on = [call for call in folder.read_calls() if "pkill -INT" in call[-1]]
    assert passed_on == [
        [
            *f"{folder.bin}/gcloud compute tpus tpu-vm ssh pod {WHERE}".split(),
            "--worker=all",
            f"--command=pkill -INT -f '{IN_VENV}'; pkill -TERM -f '{SCRIPT}' || true",
        ]
    ]


def test_several_workers_need_a_workdir_that_all_see(folder):
    code, out, err, calls = folder.launch(*POD, "configs/wgan.py", **TWO)
    assert (code, out, len(calls)) == (2, "", 1)
    expected = "jaxgan: error: --workdir = nothing: 2 workers .*gs://BUCKET.*\n"
    assert re.fullmatch(expected, err)
    assert folder.launch(*POD, "configs/wgan.py", "--workdir", "x", **TWO)[0] == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"STUB_DESCRIBE_EXIT": "1"}, "--tpu = pod: .*described"),
        ({"STUB_ADDRESSES": ""}, "--tpu = pod: .*no workers"),
    ],
)
def test_a_tpu_that_is_not_there(folder, options, message):
    code, out, err, calls = folder.launch(*POD, "configs/wgan.py", **options)
    assert (code, out, len(calls)) == (1, "", 1)
    assert re.fullmatch(f"jaxgan: error: {message}.*\n", err)


def test_a_config_outside_of_the_project_is_refused(folder, tmp_path):
    (tmp_path / "mine.py").touch()
    code, _, err, calls = folder.launch(*POD, "../mine.py")
    assert (code, calls) == (2, [])
    assert err.startswith("jaxgan: error: CONFIG = ../mine.py: must be inside ")


# Slurm

SLURM = ["--slurm", "--nodes=2", "--comment=a b", "configs/wgan.py:toy", "--x=a  'b'"]


def run_job(folder, **variables):
    """Run the submitted script as Slurm would; return its exit code."""
    folder.calls.unlink()
    variables |= {
        "SLURM_JOB_ID": "4097",
        "SLURM_JOB_NODELIST": "node[7-8]",
        "SLURM_JOB_NUM_NODES": "2",
    }
    return subprocess.run(
        ["bash", f"{folder.calls}.job"],
        cwd=folder.repo,
        env=folder.environment(**variables),
    ).returncode


def test_a_job_is_submitted(folder):
    code, out, _, calls = folder.launch(*SLURM)
    assert (code, out) == (0, "Submitted batch job 4097\n")
    assert any(call.startswith(f"{folder.python} -m pip install") for call in calls)
    assert folder.read_calls()[-1] == [
        f"{folder.bin}/sbatch",
        "--ntasks-per-node=1",
        "--requeue",
        "--signal=TERM@120",
        "--open-mode=append",
        "--job-name=wgan-toy",
        "--output=logs/wgan-toy/%j.log",
        "--nodes=2",
        "--comment=a b",
    ]
    assert (folder.repo / "logs/wgan-toy").is_dir()


def test_a_job_trains_on_every_node(folder):
    folder.launch(*SLURM)
    assert run_job(folder) == 0
    given = ["--config=configs/wgan.py:toy", "--x=a  'b'"]
    together = ["--coordinator=node7:61441", "--num_processes=2"]
    assert flags_of_training(folder) == [
        [*given, *together, "--process_id=0"],
        [*given, *together, "--process_id=1"],
    ]
    calls = folder.read_calls()
    assert calls[0][1:] == ["show", "hostnames", "node[7-8]"]
    assert calls[1][:7] == [
        f"{folder.bin}/srun",
        "--ntasks=2",
        "--ntasks-per-node=1",
        "--kill-on-bad-exit=0",
        "--wait=300",
        "--open-mode=append",
        "--output=logs/wgan-toy/%j-%t.log",
    ]


@pytest.mark.parametrize(("code", "requeued"), [(143, True), (1, False), (0, False)])
def test_a_job_that_was_stopped_is_queued_again(folder, code, requeued):
    folder.launch(*SLURM)
    assert run_job(folder, STUB_TRAIN_EXIT=str(code)) == code
    again = [f"{folder.bin}/scontrol", "requeue", "4097"]
    assert (again in folder.read_calls()) == requeued


def test_a_job_takes_the_cpus_that_were_asked_for(folder):
    folder.launch(*SLURM)
    folder.add("srun", "#!/usr/bin/env bash\n[[ $SRUN_CPUS_PER_TASK == 12 ]]\n")
    assert run_job(folder, SLURM_CPUS_PER_TASK="12") == 0


@pytest.mark.parametrize("option", ["--gpus-per-node=8", "--gres=gpu:8", "-G8"])
def test_cuda_is_installed_for_a_job_with_gpus(folder, option):
    _, _, _, calls = folder.launch("--slurm", option, "configs/wgan.py")
    assert f"{folder.python} -m pip install -e {folder.repo}[cuda]" in calls


def test_a_job_that_is_refused(folder):
    folder.add("sbatch", "#!/usr/bin/env bash\necho 'no such partition' >&2; exit 1\n")
    code, _, err, _ = folder.launch("--slurm", "configs/wgan.py")
    assert code == 1
    assert err.splitlines()[-1].startswith("jaxgan: error: the job could not")


# All modes


@pytest.mark.parametrize("mode", [["--processes", "2"], POD, SLURM[:3]])
def test_print_runs_nothing_in_any_mode(folder, mode):
    flags = ["configs/wgan.py", "--workdir=gs://b/a c"]
    for program in ("mkdir", "tar", "git"):
        folder.add(program, LOG)
    code, out, err, calls = folder.launch("--print", *mode, *flags)
    assert (code, err, calls) == (0, "", [])
    for program in ("gcloud", "sbatch"):  # not even needed
        (folder.bin / program).unlink()
    assert folder.launch("--print", *mode, *flags)[1] == out
    assert sorted(path.name for path in folder.repo.iterdir()) == [
        "configs",
        "launch.sh",
        "pyproject.toml",
    ]
    assert "--coordinator=" in out
    assert "mkdir -p logs/a\\ c\n" in out


def test_print_shows_the_commands_for_a_tpu(folder):
    _, out, _, _ = folder.launch("--print", *POD, "configs/wgan.py:toy")
    lines = out.splitlines()
    command = r"(gcloud compute tpus tpu-vm )?\w+"
    assert [re.match(command, line)[0] for line in lines] == [
        "gcloud compute tpus tpu-vm describe",
        "mkdir",
        "tar",
        "gcloud compute tpus tpu-vm scp",
        "gcloud compute tpus tpu-vm ssh",
        "gcloud compute tpus tpu-vm ssh",
    ]
    assert lines[0].endswith(" # tells ADDRESS_OF_WORKER_0 and NUMBER_OF_WORKERS")
    assert "--coordinator=ADDRESS_OF_WORKER_0:8476" in lines[-1]


def test_print_shows_what_slurm_will_run(folder):
    _, printed, _, _ = folder.launch("--print", *SLURM)
    folder.launch(*SLURM)
    job = Path(f"{folder.calls}.job").read_text()
    assert printed.endswith(f" <<'SCRIPT'\n{job}SCRIPT\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--processes", "0"], "--processes = 0: .* 1 to 999"),
        (["--processes=two"], "--processes = two: .* 1 to 999"),
        (["--processes="], "--processes = nothing: .*missing"),
        (["--tpu", "--zone", "z"], "--tpu = nothing: .*missing"),
        (["--tpu", "pod"], "--tpu = pod: .*--zone"),
        (["--zone", "z"], "--zone = z: .*--tpu"),
        (["--project", "p"], "--project = p: .*--tpu"),
        ([*POD, "--processes=2"], "--processes --tpu: .*one"),
        (["--slurm", "--processes=2"], "--processes --slurm: .*one"),
        ([*POD, "--slurm"], "--tpu --slurm: .*one"),
        (["--processes=2", "--process_id=1"], "--process_id: .*--processes"),
    ],
)
def test_options_that_exclude_each_other_are_refused(folder, arguments, message):
    code, out, err, calls = folder.launch("configs/wgan.py", *arguments)
    assert (code, out, calls) == (2, "", [])
    assert re.fullmatch(f"jaxgan: error: {message}.*\n", err)


@pytest.mark.parametrize(
    ("mode", "program", "option"),
    [(POD, "gcloud", "--tpu"), (["--slurm"], "sbatch", "--slurm")],
)
def test_a_missing_program_is_said_first(folder, mode, program, option):
    for tool in ("bash", "dirname"):
        (folder.bin / tool).symlink_to(shutil.which(tool))
    (folder.bin / program).unlink()
    code, _, err, calls = folder.launch(*mode, "configs/wgan.py", PATH=str(folder.bin))
    assert (code, calls) == (2, [])
    assert re.fullmatch(f"jaxgan: error: {program}: not found.*{option}.*\n", err)


def test_the_accelerator_can_be_named(folder):
    folder.add("nvidia-smi", "#!/usr/bin/env bash\necho 'GPU 0: Some GPU (UUID: 1)'\n")
    for name, extras in (("tpu", "[tpu]"), ("none", "")):
        _, _, _, calls = folder.launch("configs/wgan.py", ACCELERATOR=name)
        assert f"{folder.python} -m pip install -e {folder.repo}{extras}" in calls


def test_shellcheck_finds_nothing():
    beside = Path(sys.executable).with_name("shellcheck")
    program = beside if beside.exists() else "shellcheck"
    scripts = [ROOT / "launch.sh", ROOT / ".ci" / "run"]
    done = subprocess.run([program, *scripts], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")
