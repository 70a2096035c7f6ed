"""Settings, read from the environment once, at a process edge."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from models.errors import InvalidConfiguration
from tasks.adapters.redaction import keep_out_of_logs

OPENROUTER_URL = "https://openrouter.ai/api/v1"
SIMULATOR_KEY = "simulated"


def _blank_is_absent(value: object) -> object:
    return None if value == "" else value


Optional = Annotated[str | None, BeforeValidator(_blank_is_absent)]
OptionalSecret = Annotated[SecretStr | None, BeforeValidator(_blank_is_absent)]


class Settings(BaseSettings):
    """The environment variables of docs/interface.md; an empty value counts as absent."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    openrouter_api_key: OptionalSecret = None
    openrouter_base_url: Optional = None
    database_url: OptionalSecret = None
    prefect_api_url: Optional = None
    switchyard_home: Path = Field(default_factory=lambda: Path.home() / ".switchyard")
    switchyard_api_key: OptionalSecret = None
    switchyard_simulator_url: Optional = None
    switchyard_request_timeout_s: float = Field(120.0, gt=0, le=3600)
    switchyard_store_prompts: bool = False
    switchyard_cache_mb: int = Field(256, ge=1, le=1_000_000)
    switchyard_trace_sample: float = Field(1.0, ge=0, le=1)
    switchyard_approval_ttl_s: float = Field(86_400.0, gt=0, le=30 * 86_400)
    switchyard_notify_block: Optional = None
    otel_exporter_otlp_endpoint: Optional = None
    otel_exporter_otlp_traces_endpoint: Optional = None
    otel_service_name: str = "switchyard"
    prefect_api_key: OptionalSecret = None
    prefect_api_auth_string: OptionalSecret = None

    @property
    def simulated(self) -> bool:
        """True when neither a key nor another upstream is configured: the simulator answers."""
        return self.openrouter_api_key is None and self.openrouter_base_url is None

    @property
    def traces_endpoint(self) -> str | None:
        """Where spans are sent to, by OTLP over HTTP; None where nobody collects them."""
        if self.otel_exporter_otlp_traces_endpoint or self.otel_exporter_otlp_endpoint is None:
            return self.otel_exporter_otlp_traces_endpoint
        return f"{self.otel_exporter_otlp_endpoint.rstrip('/')}/v1/traces"

    @property
    def upstream_url(self) -> str:
        """The base URL that requests go to; raises when the simulator is needed but not known."""
        if not self.simulated:
            return self.openrouter_base_url or OPENROUTER_URL
        if self.switchyard_simulator_url is None:
            raise InvalidConfiguration(
                "no upstream: set OPENROUTER_API_KEY or OPENROUTER_BASE_URL,"
                " or start the simulator with `switchyard up`"
            )
        return self.switchyard_simulator_url

    @property
    def api_key(self) -> str | None:
        """The upstream's bearer key, or None; the simulator takes any."""
        if self.openrouter_api_key is not None:
            return self.openrouter_api_key.get_secret_value()
        return SIMULATOR_KEY if self.simulated else None

    @property
    def database_dsn(self) -> str:
        """The ledger's database; raises when none is configured or started."""
        if self.database_url is None:
            raise InvalidConfiguration(
                "no database: set DATABASE_URL, or start the embedded one with `switchyard up`"
            )
        return self.database_url.get_secret_value()

    @property
    def home(self) -> Path:
        """SWITCHYARD_HOME as an absolute path."""
        return self.switchyard_home.expanduser().absolute()

    @property
    def prefect_home(self) -> Path:
        """Prefect's own files; the user's Prefect profile is not touched."""
        return self.home / "prefect"

    @property
    def cache_bytes_max(self) -> int:
        """How much the cached answers of all policies may take together."""
        return self.switchyard_cache_mb * 1024 * 1024

    def secrets(self) -> tuple[str, ...]:
        """Every configured secret by value, for redaction."""
        given = (
            self.openrouter_api_key,
            self.switchyard_api_key,
            self.prefect_api_key,
            self.prefect_api_auth_string,
        )
        values = [secret.get_secret_value() for secret in given if secret is not None]
        if self.database_url is not None:
            values.append(urlsplit(self.database_url.get_secret_value()).password or "")
        return tuple(value for value in values if value)


def read_settings() -> Settings:
    """Return the settings of this process's environment; from now on its logs are without secrets.

    Every process learns its secrets here, so none can forget to mask them. Raises
    InvalidConfiguration naming every wrong variable, without its value.
    """
    try:
        settings = Settings()
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(str(part) for part in problem['loc']).upper()}: {problem['msg']}"
            for problem in error.errors(include_input=False, include_url=False)
        )
        raise InvalidConfiguration(problems) from None
    keep_out_of_logs(settings.secrets())
    return settings


def export_settings(settings: Settings) -> None:
    """Put what was found out at start (URLs) into this process's environment, for children."""
    for name in ("database_url", "prefect_api_url", "switchyard_simulator_url"):
        value = getattr(settings, name)
        if value is not None:
            text = value.get_secret_value() if isinstance(value, SecretStr) else value
            os.environ[name.upper()] = text
    os.environ["SWITCHYARD_HOME"] = str(settings.home)
