from __future__ import annotations

import pytest
from optuna.study import StudyDirection
from optuna.trial import TrialState, create_trial

from search.searchers.mirror_storage import STUDY, MirrorStorage


def test_trials_can_be_taken_back_and_keep_their_numbers() -> None:
    storage = MirrorStorage()
    assert storage.create_new_study([StudyDirection.MAXIMIZE]) == STUDY
    assert storage.get_study_directions(STUDY) == [StudyDirection.MAXIMIZE]
    for number in (5, 2):
        storage.next_number = number
        assert storage.create_new_trial(STUDY) == number
    assert [t.number for t in storage.get_all_trials(STUDY)] == [2, 5]
    storage.drop(5)
    storage.drop(5)
    assert [t.number for t in storage.get_all_trials(STUDY)] == [2]
    with pytest.raises(KeyError):
        storage.get_trial(5)


def test_states_are_filtered_and_copies_are_copies() -> None:
    storage = MirrorStorage()
    storage.next_number = storage.create_new_trial(STUDY, create_trial(value=1.0)) + 1
    storage.create_new_trial(STUDY)
    assert storage.set_trial_state_values(1, TrialState.COMPLETE, [2.0])
    storage.set_trial_system_attr(1, "a", 1)
    complete = storage.get_all_trials(STUDY, deepcopy=True, states=(TrialState.COMPLETE,))
    assert [t.values for t in complete] == [[1.0], [2.0]]
    complete[1].system_attrs["a"] = 2
    assert storage.get_trial(1).system_attrs == {"a": 1}


def test_study_attributes_are_replaced_not_changed_in_place() -> None:
    storage = MirrorStorage()
    before = storage.get_study_system_attrs(STUDY)
    storage.set_study_system_attr(STUDY, "key", 1)
    assert before == {}
    assert storage.get_study_system_attrs(STUDY) == {"key": 1}
    storage.delete_study(STUDY)
    assert storage.get_study_system_attrs(STUDY) == {}
