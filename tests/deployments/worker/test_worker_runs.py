from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from prefect.client.schemas.objects import State, StateType
from prefect.states import Cancelling, Suspended

if TYPE_CHECKING:
    from tests.deployments.worker.conftest import Pool


def is_running(state: State) -> bool:
    return state.is_running()


def is_suspended(state: State) -> bool:
    return state.type is StateType.PAUSED and state.name == "Suspended"


def test_worker_persists_the_result_and_logs_under_the_run(served: Pool) -> None:
    run = served.wait(served.trigger("add_one", number=41))
    assert run.state.name == "Completed"
    assert json.loads(Path(run.state.data.storage_key).read_bytes()) == 42
    deployment_id = served.deployments["warm_flows.add_one"]
    assert served.logged(run.id, f"adding to 41 in deployment {deployment_id}")


def test_worker_names_itself_in_the_claim(served: Pool) -> None:
    run = served.wait(served.trigger("add_one"))
    states = served.client.read_flow_run_states(run.id)
    claims = [state.message for state in states if state.type is StateType.PENDING]
    assert len(claims) == 1
    assert claims[0].startswith("claimed by worker switchyard ")


def test_run_fails_when_its_parameters_are_wrong(served: Pool) -> None:
    run = served.wait(served.trigger("add_one", number="many"))
    assert run.state.type is StateType.FAILED
    assert "Validation of flow parameters failed" in run.state.message


def test_run_crashes_with_the_reason_when_its_flow_cannot_be_imported(served: Pool) -> None:
    run = served.wait(served.trigger("warm_flows.no_such_flow"))
    assert run.state.type is StateType.CRASHED
    assert "no_such_flow" in run.state.message


def test_run_crashes_when_its_flow_would_block_the_loop(served: Pool) -> None:
    run = served.wait(served.trigger("block_the_loop"))
    assert run.state.type is StateType.CRASHED
    assert "not `async def`" in run.state.message


def test_crash_of_one_run_leaves_the_others_alone(served: Pool) -> None:
    other = served.trigger("sleep_for", seconds=3)
    served.wait(other, is_running)
    assert served.wait(served.trigger("exit_the_process")).state.type is StateType.CRASHED
    assert served.wait(other).state.name == "Completed"


def test_cancelled_run_settles_and_ends_cancelled_never_crashed(served: Pool) -> None:
    run_id = served.trigger("sleep_for", seconds=60)
    assert served.logged(run_id, "sleep begins")
    served.client.set_flow_run_state(run_id, Cancelling())
    assert served.wait(run_id, within_s=20).state.name == "Cancelled"
    assert served.logged(run_id, "money settled")
    assert "Crashed" not in served.history(run_id)


def test_suspended_flow_frees_the_worker_and_goes_on_when_resumed(served: Pool) -> None:
    run_id = served.trigger("wait_for_a_person")
    served.wait(run_id, is_suspended)
    served.client.resume_flow_run(run_id)
    assert served.wait(run_id).state.name == "Completed"


def test_running_flow_stops_at_its_next_step_when_suspended_from_outside(served: Pool) -> None:
    run_id = served.trigger("sleep_in_steps", steps=60)
    served.wait(run_id, is_running)
    served.client.set_flow_run_state(run_id, Suspended(timeout_seconds=60))
    served.wait(run_id, is_suspended)
    assert served.logged(run_id, "Finished in state Suspended")
