"""Likeness Studio: one person's likeness, from a few photos to a talking character."""

__version__ = "0.1.0"
