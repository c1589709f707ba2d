"""The test split is touched once, after the search, by the front alone."""

from __future__ import annotations

from pathlib import Path

from search import Study

CONFIG = Path(__file__).parents[2] / "configs" / "smoke" / "polympcnet_digits.yaml"


def test_only_the_front_meets_the_test_split_and_only_when_the_search_is_done(
    tmp_path: Path,
) -> None:
    overrides = [f"study.directory={tmp_path}", "runner=inline", "budget.trials=3"]
    study = Study.from_yaml(CONFIG, overrides=[*overrides, "searcher=random"])
    early = study.run(timeout_s=0.001)
    outcomes = [t.outcome for t in early.trials if t.outcome]
    assert not any(m.split == "test" for o in outcomes for m in o.measurements)
    snapshot = study.run()
    front = {t.number for t in study.pareto()}
    tested = {
        t.number: [m for m in t.outcome.measurements if m.split == "test"]
        for t in snapshot.trials
        if t.outcome
    }
    assert {n for n, found in tested.items() if found} == front
    assert all(len(found) == 1 for n, found in tested.items() if n in front)
    # What was chosen by is still the validation split.
    for trial in snapshot.trials:
        measured = trial.measurement("accuracy")
        if trial.values is not None:
            assert measured is not None
            assert measured.split == "validation"
            assert trial.values[0] == measured.value


def test_weights_that_all_trials_share_meet_the_test_split_too(tmp_path: Path) -> None:
    config = tmp_path / "shared.yaml"
    config.write_text(
        "study: {name: shared, seed: 0}\n"
        "workload:\n"
        "  name: image_classification\n"
        "  network: {name: ckks_mlp, hidden: [8]}\n"
        "  data: digits\n"
        "  teacher: {epochs: 1}\n"
        "space: {name: ckks, log_n: [13]}\n"
        "method: pretrained\n"
        "objectives: [accuracy]\n"
        "ladder: [{rung: static, evaluators: [ckks_static, accuracy]}]\n"
        "searcher: random\n"
        "budget: {trials: 1}\n"
        "runner: inline\n"
    )
    study = Study.from_yaml(config, overrides=[f"study.directory={tmp_path}"])
    (trial,) = study.run().trials
    assert trial.outcome is not None
    tested = [m for m in trial.outcome.measurements if m.split == "test"]
    assert [m.metric for m in tested] == ["accuracy"]
