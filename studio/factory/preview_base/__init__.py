"""The preview base from nothing: rendered people, captions, networks, their training, and the judge of it."""
