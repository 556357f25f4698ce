"""New speech for a clip that exists: its mouth is drawn anew, everything else stays as it was filmed."""
