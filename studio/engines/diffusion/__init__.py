"""Diffusion models of faces: the embedded base, personalization, generation."""
