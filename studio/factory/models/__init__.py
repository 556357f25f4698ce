"""Small vision models, converted from the packages that carry them."""
