"""The adapter library: what is there, carried out and in, merged, tested, pushed."""
