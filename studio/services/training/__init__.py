"""Teaching a base one person: plans, runs, what they tell, and choosing a checkpoint."""
