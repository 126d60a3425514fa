"""The releases of AffectNet's labels, one class each."""
