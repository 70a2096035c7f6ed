"""Repeatable randomness: a number between 0 and 1 from the seed, the model and the messages."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from deployments.simulator.wire import Json, to_json


@dataclass(frozen=True, slots=True)
class Draws:
    """The draws of one request; every label has its own, whatever was drawn before."""

    root: bytes

    def unit(self, label: str) -> float:
        """Return a number in [0, 1)."""
        digest = hashlib.blake2b(self.root + label.encode(), digest_size=8).digest()
        return int.from_bytes(digest) / 2**64

    def pick(self, label: str, options: Sequence[str]) -> str:
        """Return one of the options."""
        return options[int(self.unit(label) * len(options))]


def draws_for(seed: int, model_id: str, messages: Sequence[Json]) -> Draws:
    """Return the draws of a request: the same seed, model and messages draw the same."""
    text = f"{seed}\0{model_id}\0".encode() + to_json(messages)
    return Draws(hashlib.blake2b(text, digest_size=16).digest())
