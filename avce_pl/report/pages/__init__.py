"""Pages to look at in a browser or a terminal."""
