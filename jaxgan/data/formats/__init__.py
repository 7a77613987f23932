"""Formats of data sets, one per module: reading only, without resizing or caching."""
