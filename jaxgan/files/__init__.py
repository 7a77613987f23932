"""Files here and in buckets: paths, pictures, images of any kind."""
