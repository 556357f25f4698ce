"""The stable API: the same actions by name, for programs."""
