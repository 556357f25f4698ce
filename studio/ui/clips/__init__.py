"""Pieces of the window for clips."""
