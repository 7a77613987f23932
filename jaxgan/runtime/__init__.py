"""What a run needs of the machine: devices, processes, precision, signals, traces."""
