"""Pure tensor mathematics of the method: no state, no configuration, torch only."""
