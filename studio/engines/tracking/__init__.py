"""A face followed through a video: where its landmarks are, and which expression they show."""
