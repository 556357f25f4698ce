"""The pieces of the Train tab."""
