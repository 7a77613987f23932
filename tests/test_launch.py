"""launch.sh in a copied folder: Python is a stub that logs its calls; no network."""

import shutil
import subprocess
from pathlib import Path

import pytest

LAUNCH = Path(__file__).parents[1] / "launch.sh"

# Stands for python3 and, copied there by `-m venv`, for .venv/bin/python.
PYTHON = """#!/usr/bin/env bash
echo "$0 $*" >> "$CALLS"
case "$*" in
  -c*) echo "${STUB_VERSION:-3.12.1}"; [[ ${STUB_VERSION:-3.12.1} != 3.10* ]] ;;
  "-m venv "*) mkdir -p "$3/bin" && cp "$0" "$3/bin/python" ;;
  "-m pip --version") [[ -z ${STUB_NO_PIP:-} ]] ;;
  "-m pip install"*) exit "${STUB_PIP_EXIT:-0}" ;;
  "-m jaxgan.main"*) echo trained; exit "${STUB_TRAIN_EXIT:-0}" ;;
esac
"""


class Folder:
    """A copy of the project with stubs, in a path with a space in it."""

    def __init__(self, root: Path):
        self.repo = root / "my project"
        self.bin = root / "bin"
        self.calls = root / "calls"
        (self.repo / "configs").mkdir(parents=True)
        self.bin.mkdir()
        shutil.copy(LAUNCH, self.repo)
        (self.repo / "pyproject.toml").write_text("[project]\n")
        (self.repo / "configs" / "wgan.py").touch()
        (self.repo / "configs" / "wgan_gp.py").touch()
        self.venv = self.repo / ".venv"
        self.python = f"{self.venv}/bin/python"
        self.add("python3", PYTHON)
        self.add("nvidia-smi", "#!/usr/bin/env bash\nexit 9\n")  # hides a real one

    def add(self, name: str, script: str) -> None:
        (self.bin / name).write_text(script)
        (self.bin / name).chmod(0o755)

    def launch(self, *arguments: str, cwd: Path | None = None, **variables: str):
        """Return (exit code, stdout, stderr, the stubs' calls) of one launch."""
        self.calls.unlink(missing_ok=True)
        environment = {
            "PATH": f"{self.bin}:/usr/bin:/bin",
            "CALLS": str(self.calls),
            **variables,
        }
        done = subprocess.run(
            [self.repo / "launch.sh", *arguments],
            cwd=cwd or self.repo,
            env=environment,
            capture_output=True,
            text=True,
            timeout=30,
        )
        calls = self.calls.read_text().splitlines() if self.calls.exists() else []
        # The version check is a program of several lines; only its first is kept.
        calls = [call for call in calls if not call.startswith(("print(", "sys."))]
        return done.returncode, done.stdout, done.stderr, calls


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
    _, _, _, calls = folder.launch("configs/wgan.py:toy,name=swissroll")
    config = "--config=configs/wgan.py:toy,name=swissroll"
    assert calls == [f"{folder.python} -m jaxgan.main {config}"]


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
    # Back on a machine without one, what is there serves.
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
    assert code == 0  # there is an environment now, and no need of another
    shutil.rmtree(folder.venv)
    code, _, err, _ = folder.launch("configs/wgan.py", PYTHON="python9")
    assert code == 2
    assert err.startswith("jaxgan: error: python9: not found; Python 3.11 or newer")
