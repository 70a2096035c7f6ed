"""Nouns: values and the pure rules on them."""
