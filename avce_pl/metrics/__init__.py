"""Streaming agreement metrics for valence and arousal."""
