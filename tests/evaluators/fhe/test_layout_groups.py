"""Tensors that share a layout."""

from __future__ import annotations

from evaluators.fhe.layout_groups import candidates, groups_of, strides_of


def test_additions_join_both_branches(networks) -> None:
    groups = groups_of(networks.residual())
    found = {n.name: number for number, group in enumerate(groups) for n in group.nodes}
    assert found["input"] == 0
    assert len({found[name] for name in ("stem", "act0", "a2", "add1", "act2")}) == 1
    assert len({found[name] for name in ("short", "b2", "add2", "act4")}) == 1
    assert len({found[name] for name in ("input", "stem", "a1", "b1", "b2", "fc")}) == 6
    joined = groups[found["stem"]]
    assert {n.name for n in joined.makers} == {"stem", "a2"}
    assert {n.name for n in joined.readers} == {"a1", "b1", "short"}


def test_strides_multiply_along_the_network(networks) -> None:
    groups = groups_of(networks.lenet())
    assert [sorted(s) for s in strides_of(groups)] == [[1, 2, 4], [1, 2], [1], [1], [1]]


def test_images_may_be_split_or_have_gaps(networks) -> None:
    group = groups_of(networks.lenet())[1]
    names = [c.name for c in candidates(group, 8192, [1, 2], [1024], gap=2)]
    assert names == ["rows", "channels", "phases 2", "gaps 2"]


def test_images_that_lost_their_border_may_stand_in_the_frame_they_had(networks) -> None:
    group = groups_of(networks.lenet())[1]
    found = candidates(group, 8192, [1], [1024], gap=2, frame=(15, 16))
    assert [c.name for c in found] == [
        "rows", "channels", "gaps 2", "channels in 15x16", "gaps 2 in 15x16",
    ]  # fmt: skip


def test_dense_results_may_be_spread_over_copies(networks) -> None:
    group = groups_of(networks.mlp())[2]
    found = candidates(group, 4096, [1], [128])
    assert [c.name for c in found] == ["rows", *(f"spread {w} of 128" for w in (64, 32, 16, 8, 4))]


def test_polynomials_get_no_spread_tensors(networks) -> None:
    graph = networks.chain((64,), ("fc", 8), ("polynomial", 5), ("fc", 4))
    groups = groups_of(graph)
    assert groups[1].clean
    assert [c.name for c in candidates(groups[1], 512, [1], [64])] == ["rows"]


def test_longer_periods_without_partial_sums(networks) -> None:
    group = groups_of(networks.chain((20,), ("fc", 20)))[1]
    found = candidates(group, 64, [1], [], square=True)
    assert [c.period for c in found] == [32, 64]
    assert [c.period for c in candidates(group, 64, [1], [])] == [32]
