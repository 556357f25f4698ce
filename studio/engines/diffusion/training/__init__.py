"""Learning a person: what is shown, what may move, how it moves, and what that costs."""
