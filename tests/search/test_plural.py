from search.plural import plural


def test_plural() -> None:
    assert (plural(1, "trial"), plural(2000, "trial")) == ("1 trial", "2,000 trials")
