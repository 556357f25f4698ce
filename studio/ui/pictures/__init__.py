"""The pieces of the Generate tab."""
