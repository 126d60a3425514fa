"""What a trained model looks at: activation maps, latents, and how much of a map lies on which part of the face."""
