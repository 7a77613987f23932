"""A trained network at work: samples, translations, scores."""
