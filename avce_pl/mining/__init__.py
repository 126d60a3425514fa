"""Negative mining: which negative pairs count, and how much; one file per option."""
