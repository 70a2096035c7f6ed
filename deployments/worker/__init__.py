"""The warm worker: runs flow runs inside its own process, on one event loop."""
