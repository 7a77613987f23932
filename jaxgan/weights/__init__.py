"""Files of trained weights: ours, PyTorch's, and the official CycleGAN code's keys."""
