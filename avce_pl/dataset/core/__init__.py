"""What every data set shares: the index, batches, augmentation, cache, split protocols."""
