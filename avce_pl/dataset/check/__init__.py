"""What `avce data check` examines before a training."""
