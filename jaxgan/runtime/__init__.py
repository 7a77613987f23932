"""The machine that a run uses: devices, processes, precision, signals, profiles."""
