"""When a policy lets a second model be asked because the first one is slow."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from models.usd import Usd

AfterMs = Annotated[int, Field(ge=1, le=600_000, strict=True)]


class Hedge(BaseModel):
    """The `hedge` of a policy: ask the plan's next model too when the first has not answered.

    `after` is a time, or "p95": what 95 % of the first model's last answers took. While too few
    are known, `unknown_ms` is used, and without it nothing is hedged. `max_extra_cost_usd` bounds
    the worst case of the second call.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    after: Literal["p95"] | AfterMs = Field("p95", description='Milliseconds, or "p95"')
    unknown_ms: AfterMs | None = Field(None, description="While p95 is not known")
    max_extra_cost_usd: Usd | None = Field(None, description="Most that the second call may cost")
