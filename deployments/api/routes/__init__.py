"""The routes below /api, by noun, and those for whoever watches the process."""
