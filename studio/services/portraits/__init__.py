"""One photo made ready to move: expressions, presets, edits."""
