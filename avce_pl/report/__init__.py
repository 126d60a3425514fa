"""Tables and figures, made from run folders alone; imports neither torch nor Lightning."""
