"""What reports read of sets of networks."""

from types import SimpleNamespace

from search.report.ensemble import bases_of, member_payloads, nonzeros_of, of_members

NAMES = ["accuracy", "cost.1", "cost.2", "cost.worst", "cost.mean", "other.mean", "v.2"]


def trial(candidate):
    return SimpleNamespace(outcome=SimpleNamespace(candidate=candidate))


def test_values_of_members_are_told_from_others():
    assert bases_of(NAMES) == ("cost",)
    assert of_members(NAMES) == {"cost.1", "cost.2", "cost.worst", "cost.mean"}


def test_payloads_of_members():
    members = [{"payload": {"density": 0.1}}, {"payload": None}]
    assert member_payloads(trial({"members": members})) == [{"density": 0.1}, {}]
    assert member_payloads(trial({"members": None})) == []
    assert member_payloads(trial(None)) == []
    assert member_payloads(SimpleNamespace(outcome=None)) == []


def test_weights_that_a_member_has():
    weights = [{"site": "a", "nonzeros": 3}, {"site": "b", "nonzeros": 4}]
    assert nonzeros_of({"weights": weights}) == 7
    assert nonzeros_of({}) is None
    assert nonzeros_of({"weights": []}) is None
