"""The last step of a search: the chosen trials meet the test split, once.

Trials are chosen on the validation split alone. When the budget of a study is spent, the trials
on its front are measured on the test split; the results are kept beside the trials and never
reach a searcher.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from search.api.candidate import Candidate
from search.api.errors import SearchError
from search.api.exporting import SharesWeights
from search.api.metric import Fidelity, Measurement
from search.api.protocols import Decodes, HasTestSplit
from search.api.trial import Trial
from search.assemble import Components
from search.ladder import temporary_context


def measure_on_test(
    components: Components,
    trials: Sequence[Trial],
    complain: Callable[[str], None],
) -> Iterator[tuple[int, tuple[Measurement, ...]]]:
    """Yields (trial number, measurements on the test split) of each trial that can be rebuilt.

    Args:
        components: the study's objects.
        trials: chosen trials.
        complain: told why a trial could not be measured; the others go on.
    """
    ladder = components.ladder
    space: object = ladder.space
    top = ladder.rungs[-1]
    evaluators = [e for e in top.evaluators if isinstance(e, HasTestSplit)]
    if not evaluators or not isinstance(space, Decodes):
        return
    method: object = ladder.method
    shared = method.shared_weights() if isinstance(method, SharesWeights) else None
    fidelity = Fidelity("test", top.fidelity.rank + 1, top.fidelity.budget)
    for trial in trials:
        data = trial.outcome.candidate if trial.outcome else None
        if data is None:
            continue
        weights = trial.artefacts.get(str(data["weights"]), shared) if data["weights"] else None
        candidate = Candidate(str(data["kind"]), space.decode(data["payload"]), weights)
        with temporary_context(trial.seed, ladder.device) as ctx:
            try:
                found = [m for e in evaluators for m in e.evaluate_test(candidate, fidelity, ctx)]
            except SearchError as error:
                complain(f"trial {trial.number} could not be measured on the test split: {error}")
                continue
        yield trial.number, tuple(found)
