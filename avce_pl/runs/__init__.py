"""What a run folder is: where it lies, what identifies it, its records, predictions and model."""
