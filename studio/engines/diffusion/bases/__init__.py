"""Base models: what lies in their files, loading them, fetching them, and their text encoders at work."""
