"""Pictures before any network: decoding, cropping, sizes; the same for preparation, training and prediction."""
