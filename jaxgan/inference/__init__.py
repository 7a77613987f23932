"""Uses of a trained network: samples, translations and scores."""
