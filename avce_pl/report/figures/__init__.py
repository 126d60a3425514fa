"""One file for each figure, their common parts and style."""
