"""Everything that reads pictures and sound safely, and writes pictures, clips and curve files.

- `pictures`: any photo a person may bring -> 8-bit sRGB, and PNG with a recipe.
- `sound`: any sound or video file -> 16 kHz mono for analysis.
- `video`: open a writer for any clip format, read frames, probe a file.
- `curves`: performances as Live Link Face CSV and JSON.
- `recipe`: the recipe a file of ours carries in its own metadata.

Nothing here knows of faces, projects or the database. Files are untrusted:
formats are decided by content, decoders come from a short list, and every
foreign exception ends as a StudioError of one sentence.
"""
