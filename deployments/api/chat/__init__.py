"""The OpenAI-compatible routes below /v1."""
