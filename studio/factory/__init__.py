"""Builds what ships in assets/; nothing that runs for a person imports it (tests/unit/test_layers.py)."""
