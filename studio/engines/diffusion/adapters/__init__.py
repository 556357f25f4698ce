"""Adapter files: whose layout they have, what they change, wearing them, writing and merging them."""
