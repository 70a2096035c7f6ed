"""When a policy's answers may be given again: the exact-match cache, off unless a policy asks."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

TTL_S_MAX = 30 * 86_400


class AnswerCache(BaseModel):
    """The cache of one policy. With it the policy agrees that its answers' text is stored.

    `scope` is what an answer stands for: `any_model` answers the request whichever model would be
    asked now, `model` only while the same model is the first choice. `shared` lets workers and API
    keys see each other's answers; without it each has its own.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    ttl_s: int = Field(ge=1, le=TTL_S_MAX, description="How long an answer stays good, in seconds")
    scope: Literal["any_model", "model"] = Field(
        "any_model", description="May another model's answer be given?"
    )
    shared: bool = Field(False, description="Do all workers and API keys share the answers?")
