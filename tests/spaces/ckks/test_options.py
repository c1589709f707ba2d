import pytest
from pydantic import ValidationError

from spaces.ckks.options import CkksConfig


def test_defaults_are_legal_and_frozen() -> None:
    config = CkksConfig()
    assert config.security.bits == 128
    assert config.security.table == "guidelines_2024"
    assert not config.security.allow_insecure
    with pytest.raises(ValidationError):
        config.scale = (1, 2)  # type: ignore[misc]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scale": (40, 30)}, r"scale: expected \[least, most\] \(got \[40, 30\]\)"),
        ({"scale": (0, 30)}, "scale: expected at least 1"),
        ({"headroom": (0, 5)}, "headroom: expected at least 1"),
        ({"special_gap": (-1, 5)}, "special_gap: expected at least 0"),
        ({"special_primes": (0, 1)}, "special_primes: expected at least 1"),
        ({"baby": (0, 3)}, r"baby: expected powers of two or 0 \(got 3\)"),
        ({"margin": (0.5,)}, "greater than or equal to 1"),
        ({"log_n": ()}, "at least 1 item"),
        ({"library": "openfhe"}, "'seal' or 'lattigo'"),
        ({"security": {"bits": 100}}, "128, 192 or 256"),
        ({"security": {"secure": False}}, "Extra inputs"),
        ({"embeding": ("fold",)}, "Extra inputs"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        CkksConfig(**options)  # type: ignore[arg-type]
