"""Callbacks: progress, interruption, history and predictions of a run."""
