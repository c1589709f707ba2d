import dataclasses
from typing import Any

from search.methods.pruning.progressive import ProgressiveAdmm
from spaces.pruning.plan import PruningPlan, Schedule


def test_rounds_come_from_the_option_unless_the_plan_says(workload: Any, plan: PruningPlan) -> None:
    method = ProgressiveAdmm(workload, rounds=3)
    assert method.schedule(plan).rounds == 3
    four = dataclasses.replace(plan, schedule=Schedule(4))
    assert method.schedule(four).rounds == 4
    assert ProgressiveAdmm(workload).schedule(plan).rounds == 2
