from evaluators.fhe.orion.shipped import shipped


def test_three_networks_with_the_bits_of_the_spec() -> None:
    found = shipped()
    assert set(found) == {"mlp", "lola", "lenet"}
    assert [found[n].chain.log_qp for n in ("mlp", "lola", "lenet")] == [217, 217, 380]
    assert found["lenet"].chain.limbs == 8
    assert found["mlp"].secret_weight == 8192
    assert {p.ring for p in found.values()} == {"conjugate_invariant"}
