"""`python -m deployments.simulator`: run the simulator until Ctrl-C or SIGTERM.

When it answers, it prints one line of JSON: url, root_url, port, pid, simulated.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from deployments.simulator.app import API, create_app
from deployments.simulator.config import SimulatorConfig, UsageChunk
from deployments.simulator.faults import FaultRule
from deployments.simulator.server import Server, listening_socket, root_url_of, server_for
from models.errors import DiskFull, InvalidConfiguration, SwitchyardError

Number = TypeVar("Number", int, float)
PARENT_POLL_S = 0.2


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    line = argparse.ArgumentParser("simulator", description="A simulated OpenRouter on loopback.")
    line.add_argument("--port", type=int, default=0, help="0 takes a free one (default)")
    line.add_argument("--seed", type=int, default=0)
    line.add_argument("--latency-scale", type=float, default=0.2, help="0 answers at once")
    line.add_argument("--charge-log", type=Path, help="JSONL file, continued when it exists")
    line.add_argument("--ready-file", type=Path, help="also write the line of JSON to this file")
    line.add_argument("--refuse-key", action="store_true", help="answer 401 to every key")
    line.add_argument("--accept-key", action="append", default=[], help="refuse all other keys")
    line.add_argument("--credit-limit", metavar="USD", help="credits of the account")
    line.add_argument("--rpm", action="append", default=[], metavar="[MODEL=]N")
    line.add_argument("--account-requests", type=int, metavar="N", help="of the whole account")
    line.add_argument("--rate-window", type=float, default=60.0, metavar="SECONDS")
    line.add_argument("--success", action="append", default=[], metavar="[MODEL[#KIND]=]P")
    line.add_argument("--usage-chunk", choices=list(UsageChunk), default="empty_choices")
    line.add_argument("--generation-lag-polls", type=int, default=0)
    line.add_argument("--batch-seconds", type=float, default=0.5, help="until a batch is done")
    line.add_argument("--batch-discount", default="0.5", metavar="SHARE", help="of the list price")
    line.add_argument("--fault", action="append", default=[], metavar="JSON", help="a fault rule")
    line.add_argument("--exit-with-parent", action="store_true", help="end when the parent does")
    return line


def config_of(options: argparse.Namespace) -> SimulatorConfig:
    """Return the configuration; raise InvalidConfiguration with one clear line."""
    try:
        return SimulatorConfig(
            seed=options.seed,
            latency_scale=options.latency_scale,
            charge_log=options.charge_log,
            refuse_key=options.refuse_key,
            accepted_keys=frozenset(options.accept_key),
            credit_limit_usd=None
            if options.credit_limit is None
            else Decimal(options.credit_limit),
            requests_per_minute=named(options.rpm, int),
            account_requests=options.account_requests,
            rate_window_s=options.rate_window,
            success_probability=named(options.success, float),
            usage_chunk=UsageChunk(options.usage_chunk),
            generation_lag_polls=options.generation_lag_polls,
            batch_seconds=options.batch_seconds,
            batch_discount=Decimal(options.batch_discount),
            faults=tuple(FaultRule.model_validate_json(text) for text in options.fault),
        )
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise InvalidConfiguration(f"fault refused: {problems}") from error
    except (ValueError, InvalidOperation) as error:
        raise InvalidConfiguration(f"not a number: {error}") from error


def named(texts: Sequence[str], number: Callable[[str], Number]) -> Mapping[str, Number]:
    """Read `NAME=NUMBER`, or `NUMBER` for all."""
    pairs = (text.rpartition("=") for text in texts)
    return {name or "*": number(value) for name, _, value in pairs}


def announce(root_url: str, ready_file: Path | None) -> None:
    """Tell where the simulator listens: in the file, then on stdout."""
    port = int(root_url.rpartition(":")[2])
    document = {"url": root_url + API, "root_url": root_url, "port": port, "pid": os.getpid()}
    line = json.dumps(document | {"simulated": True}) + "\n"
    if ready_file is not None:
        write_whole(ready_file, line)
    sys.stdout.write(line)
    sys.stdout.flush()


def write_whole(path: Path, text: str) -> None:
    """Write a file that a reader sees whole or not at all."""
    partial = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)
    except OSError as error:
        raise DiskFull(f"cannot write {str(path)!r}: {error.strerror}") from error


def end_with_parent(server: Server, parent: int) -> None:
    """Ask the server to end once the parent is gone (this process then has another one)."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(PARENT_POLL_S)
        server.should_exit = True

    threading.Thread(target=watch, name="parent-watch", daemon=True).start()


def run(options: argparse.Namespace, parent: int) -> None:
    """Serve until told to end."""
    app = create_app(config_of(options))
    with listening_socket(options.port) as listener:
        server = server_for(app)
        if options.exit_with_parent:
            end_with_parent(server, parent)
        with server.capture_signals():  # from here on, so that an early signal is clean, too
            announce(root_url_of(listener), options.ready_file)
            server.run(sockets=[listener])
    app.state.simulator.log.close()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parent = os.getppid()
    options = parser().parse_args(arguments)
    try:
        run(options, parent)
    except SwitchyardError as error:
        sys.stderr.write(f"simulator: {error}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
