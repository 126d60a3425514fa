"""Faces in pictures: where they are, and the one way in which they are cut out."""
