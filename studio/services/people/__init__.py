"""People, their photos and consents, and the way from dropped files to a training set."""
