"""Data sets: a reader turns its layout into one index of faces; everything after the index is shared."""
