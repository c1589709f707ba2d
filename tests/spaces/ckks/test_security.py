import pytest

from search.api.errors import ConfigError
from spaces.ckks.params import Chain, CkksParams
from spaces.ckks.security import Security, is_sparse

GUIDELINES = {
    10: (26, None, None), 11: (53, 36, 27), 12: (106, 73, 56), 13: (214, 147, 114),
    14: (430, 297, 230), 15: (868, 597, 462), 16: (1747, 1199, 929), 17: (3523, 2411, 1866),
}  # fmt: skip
LEGACY = {
    10: (27, 19, 14), 11: (54, 37, 29), 12: (109, 75, 58), 13: (218, 152, 118),
    14: (438, 305, 237), 15: (881, 611, 476), 16: (1772, 1228, 956), 17: (None,) * 3,
}  # fmt: skip
SPARSE = {
    128: {14: (361, 202, 125), 15: (718, 404, 245), 16: (1450, 821, 493), 17: (2950, 1700, 1018)},
    256: {14: (413, 270, 194), 15: (818, 531, 378), 16: (1637, 1068, 772), 17: (3325, 2187, 1531)},
}


@pytest.mark.parametrize(
    ("table", "rows"), [("guidelines_2024", GUIDELINES), ("legacy_2018", LEGACY)]
)
def test_limits_of_dense_secrets_are_those_published(
    table: str, rows: dict[int, tuple[int | None, ...]]
) -> None:
    for column, bits in enumerate((128, 192, 256)):
        security = Security(bits, table)
        assert {n: security.limit(n) for n in rows} == {n: row[column] for n, row in rows.items()}


@pytest.mark.parametrize("weight", [128, 256])
def test_limits_of_sparse_secrets_are_those_of_the_draft(weight: int) -> None:
    for column, bits in enumerate((128, 192, 256)):
        found = {n: Security(bits).limit(n, weight) for n in SPARSE[weight]}
        assert found == {n: row[column] for n, row in SPARSE[weight].items()}


def test_weights_between_rows_are_interpolated_and_rounded_down() -> None:
    assert [Security().limit(n, 192) for n in (14, 15, 16)] == [387, 768, 1543]
    assert Security().limit(14, 129) == 361


def test_weights_outside_the_rows() -> None:
    assert Security().limit(14, 127) is None
    assert Security().limit(13, 192) is None
    assert Security().limit(14, 1000) == 413
    assert Security().limit(13, 4096) == 214
    assert Security().limit(13, 8192) == 214
    assert Security(table="legacy_2018").limit(14, 192) is None
    assert is_sparse(13, 4095)
    assert not is_sparse(13, 4096)
    assert not is_sparse(13, None)


@pytest.mark.parametrize("log_n", [9, 18])
def test_dimensions_that_no_table_has_are_not_covered(log_n: int) -> None:
    assert Security().limit(log_n) is None
    assert Security().slack(CkksParams(log_n, Chain(20, (), (20,)), 15)) is None


def test_slack_and_nearest_dimension() -> None:
    params = CkksParams(13, Chain(31, (26,) * 5, (45,)), 26)
    assert Security().slack(params) == 8
    assert Security(192).slack(params) == 147 - 206
    assert Security().smallest_log_n(206) == 13
    assert Security().smallest_log_n(214) == 13
    assert Security().smallest_log_n(215) == 14
    assert Security(table="legacy_2018").smallest_log_n(215) == 13
    assert Security().smallest_log_n(3524) is None
    assert Security().smallest_log_n(100, secret_weight=192) == 14


def test_shipped_parameters_of_the_compiler_pass_the_old_table_only() -> None:
    shipped = CkksParams(13, Chain(29, (26,) * 5, (29, 29)), 26, secret_weight=8192)
    assert shipped.chain.log_qp == 217
    assert Security(table="legacy_2018").slack(shipped) == 1
    assert Security().slack(shipped) == -3


def test_conjugate_invariant_rings_count_as_their_degree() -> None:
    chain = Chain(29, (26,) * 5, (29,))
    plain = CkksParams(13, chain, 26)
    conjugate = CkksParams(13, chain, 26, ring="conjugate_invariant")
    assert Security().slack(conjugate) == Security().slack(plain) == 26


LINGCN = [
    # network, effective non-linear layers, log Q, log2 N of the published accelerator
    *(("STGCN-3", 8, k, q, n) for k, q, n in [
        (6, 509, 15), (5, 476, 15), (4, 443, 15), (3, 410, 14), (2, 377, 14), (1, 344, 14)]),
    ("STGCN-6", 15, 12, 938, 16),
    ("STGCN-6", 15, 11, 905, 16),
    ("STGCN-6", 15, 10, 872, 15),
    ("CryptoGCN", 12, 6, 641, 15),
]  # fmt: skip


@pytest.mark.parametrize(("network", "base", "k", "log_q", "log_n"), LINGCN)
def test_moduli_of_lingcn_need_the_published_dimensions(
    network: str, base: int, k: int, log_q: int, log_n: int
) -> None:
    """log Q = 47 + 33 L without a special prime, judged by the standard of 2018."""
    chain = Chain(47, (33,) * (base + k), ())
    assert chain.log_q == log_q
    assert Security(table="legacy_2018").smallest_log_n(chain.log_qp) == log_n


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bits": 100}, r"security\.bits: expected one of 128, 192, 256 \(got 100\).*allow_insec"),
        ({"table": "mine"}, r"security\.table: unknown table 'mine' \(known: guidelines_2024"),
    ],
)
def test_wrong_demands_say_what_is_known(options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Security(**options)  # type: ignore[arg-type]


def test_every_limit_says_where_it_comes_from() -> None:
    assert "2024/463" in Security().source
    assert "2018" in Security(table="legacy_2018").source
