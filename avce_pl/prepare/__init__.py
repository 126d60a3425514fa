"""Cutting faces out of videos and photographs, once, before a training."""
