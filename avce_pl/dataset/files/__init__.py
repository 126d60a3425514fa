"""Data sets that are read from image files, videos and CSV lists."""
