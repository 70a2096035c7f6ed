"""Processes: what is started, and what a person or a program calls."""
