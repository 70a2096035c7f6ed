"""The upstream: chat completions, model list, prices, past generations, spending.

Prices without a network are in `tasks.adapters.openrouter.offline`, which is not imported here:
its data library takes 0.4 s to load.
"""

from __future__ import annotations

from tasks.adapters.openrouter.batches import BatchItem
from tasks.adapters.openrouter.calls import ChatCall
from tasks.adapters.openrouter.client import OpenRouterClient
from tasks.adapters.openrouter.opening import open_client
from tasks.adapters.openrouter.transport import Timeouts

__all__ = ["BatchItem", "ChatCall", "OpenRouterClient", "Timeouts", "open_client"]
