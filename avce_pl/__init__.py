"""AVCE-PL: contrastive valence/arousal learning as a PyTorch Lightning experiment suite."""
