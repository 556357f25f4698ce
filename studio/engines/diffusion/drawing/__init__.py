"""Pictures from words: the sampling loop and what it starts from."""
