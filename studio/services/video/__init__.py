"""A taught person speaks: from words and a sound to a clip that a base model drew."""
