"""Sentences: a decision, and what happens on a schedule."""
