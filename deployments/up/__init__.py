"""`switchyard up`: every part of the system in the foreground, watched and stopped together."""
