"""What outcomes teach: success, cost and latency by model and kind of work, and what follows."""
