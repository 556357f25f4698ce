"""A portrait speaks: from the request to the kept clip."""
