"""Values and pure functions: no files, no clock, no unseeded randomness."""
