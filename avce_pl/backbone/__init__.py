"""Backbones: an encoder (image to feature maps) and a compressor (feature maps to the latent z)."""
