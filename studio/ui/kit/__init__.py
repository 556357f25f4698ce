"""Pieces that several tabs are made of; none knows a tab."""
