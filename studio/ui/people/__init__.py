"""The pieces of the Identities tab."""
