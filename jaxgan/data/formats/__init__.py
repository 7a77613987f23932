"""One kind of data set a file."""
