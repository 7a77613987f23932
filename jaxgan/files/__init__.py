"""Files on this machine and in buckets: paths, image files of any kind, pictures."""
