"""Batches: files of requests stored, worked through in chunks, answered line by line."""

from tasks.adapters.batches.lines import store_file
from tasks.adapters.batches.run import BatchRun, Chunk
from tasks.adapters.batches.session import batch_run, current_run
from tasks.adapters.batches.sink import BatchSink, current_batch_sink, delivering_to

__all__ = [
    "BatchRun",
    "BatchSink",
    "Chunk",
    "batch_run",
    "current_batch_sink",
    "current_run",
    "delivering_to",
    "store_file",
]
