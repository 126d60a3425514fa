"""Similarities f(x, y) of two views in the valence/arousal plane; one file per option."""
