"""Peak resident memory of the largest process of a command.

    python benchmarks/memory.py -- python -m jaxgan.main --config=configs/wgan_gp.py

The command's output passes through, and its exit code is returned. Unix only.
"""

import argparse
import resource
import subprocess
import sys


def peak_gigabytes() -> float:
    """Return the peak resident memory, in 10^9 bytes, of the finished children.

    It is the largest single one of them and their finished children, not their sum.
    """
    unit = 1 if sys.platform == "darwin" else 1024  # getrusage(2): bytes or KiB
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * unit / 1e9


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("command", nargs="+", help="the command, after --")
    command = parser.parse_args().command
    try:
        code = subprocess.run(command).returncode
    except OSError as error:
        parser.error(f"{command[0]}: {error.strerror}")
    print(f"peak resident memory: {peak_gigabytes():.3f} GB")
    return code if code >= 0 else 128 - code  # as shells report signals


if __name__ == "__main__":
    sys.exit(main())
