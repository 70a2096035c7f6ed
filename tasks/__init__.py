"""Verbs: the steps that a flow is made of."""
