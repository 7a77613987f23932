"""Files of trained weights: our format, PyTorch's, and the official code's keys."""
