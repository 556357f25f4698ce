"""Clips drawn by a diffusion model: motion modules, the anchor frame, control by the 3D face."""
