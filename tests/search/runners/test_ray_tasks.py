from typing import Any

import pytest

from search.api.protocols import Runner
from search.runners.ray_tasks import RayTasks
from search.testing.runner_contract import IsolatedRunnerContract

pytestmark = pytest.mark.ray


@pytest.mark.usefixtures("two_nodes")
class TestRayTasks(IsolatedRunnerContract):
    def runner(self, slots: int) -> Runner:
        return RayTasks(slots=slots, tensorboard=None)
