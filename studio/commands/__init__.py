"""The commands of the command line, one module per noun; `studio.cli` puts them together."""
