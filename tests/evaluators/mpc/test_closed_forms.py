import pytest

from evaluators.linear import Rate
from evaluators.mpc import closed_forms
from evaluators.mpc.flows import Flow, Flows

FORMS = {
    "crypten": closed_forms.crypten(64),
    "cryptflow2_ring": closed_forms.cryptflow2_ring(64),
    "cryptflow2_field": closed_forms.cryptflow2_field(41),
    "gc_ring": closed_forms.gc_ring(64),
    "gc_field": closed_forms.gc_field(41),
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_every_form_has_a_relu_and_a_max_pool(form: Flows) -> None:
    relu = form.operators["relu"]
    assert relu.hops > 0
    assert form.maxpool is not None
    assert form.maxpool(9).bytes.output > form.maxpool(4).bytes.output >= 3 * relu.bytes.element


@pytest.mark.parametrize("name", ["crypten", "cryptflow2_ring"])
def test_a_comparison_on_the_whole_ring_is_the_plain_one(name: str) -> None:
    form = FORMS[name]
    assert form.narrow is not None
    assert form.narrow(64) == form.operators["relu"]
    sent = [form.narrow(bits).bytes.element for bits in range(1, 65)]
    hops = [form.narrow(bits).hops for bits in range(1, 65)]
    assert sent == sorted(set(sent))
    assert hops == sorted(hops)


def test_a_narrow_comparison_keeps_sign_and_product_on_the_whole_ring() -> None:
    narrow = closed_forms.crypten(64).narrow
    assert narrow is not None
    # 2 log2 16 + 1 ANDs on words of 16 bits, 16 B for the sign, 32 B for the product.
    assert narrow(16) == Flow(Rate(element=8 * 9 + 16 + 32), 7)
    assert narrow(12).hops == 7  # a circuit has whole levels


@pytest.mark.parametrize("name", ["cryptflow2_field", "gc_ring", "gc_field"])
def test_garbled_circuits_and_fields_have_no_narrow_comparison(name: str) -> None:
    assert FORMS[name].narrow is None


def test_a_wider_encoding_draws_more_bits_among_ties() -> None:
    few, many = (closed_forms.crypten_argmax(64, 4, bits) for bits in (16, 20))
    assert many.bytes.output - few.bytes.output == 2 * 4 * 16  # two draws, 16 B per bit
    assert many.hops == few.hops


def test_security_scales_the_transfers() -> None:
    low, high = (closed_forms.gc_ring(32, lam).operators["relu"] for lam in (64, 128))
    assert high.bytes.element == 2 * low.bytes.element


def test_products_by_oblivious_transfer() -> None:
    form = closed_forms.cryptflow2_ring(32)
    assert form.operators["square"].bytes.element == (128 * 32 + 32 * 33 / 2) / 8
    assert form.operators["product"] == form.operators["square"] * 2


def test_nothing_is_said_about_their_convolutions() -> None:
    assert "conv" in FORMS["crypten"].operators
    assert not [n for n, form in FORMS.items() if n != "crypten" and "conv" in form.operators]
