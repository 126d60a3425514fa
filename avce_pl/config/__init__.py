"""From a resolved configuration to checked settings and built objects."""
