"""How many bits each ReLU's comparison looks at: a vector beside the one of operators.

The entry of a site that is no ReLU means nothing. It is accepted, and a canonical point has the
largest width there. One width for all sites has nearly all of the gain; what a choice per site adds
is small and depends on the network (``docs/decisions/0015-beyond-the-papers.md``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from search.api.candidate import Violation
from search.api.domain import Ordinal, Param, Point, Scalar, Vector
from search.api.errors import ConfigError, InfeasibleCandidate
from spaces.plan import SiteChoice

NAME = "relu_bits"


def widths_of(options: Sequence[int]) -> tuple[int, ...]:
    """``options`` in ascending order.

    Raises:
        ConfigError: none, one twice, or one below 2 or above 64.
    """
    found = tuple(sorted(options))
    if not found or len(set(found)) != len(found):
        raise ConfigError(
            f"expected one or more different widths (got {list(options)})", path="space.relu_bits"
        )
    if found[0] < 2 or found[-1] > 64:
        wrong = found[0] if found[0] < 2 else found[-1]
        raise ConfigError(
            f"a comparison looks at 2 to 64 bits (got {wrong})", path="space.relu_bits"
        )
    return found


class ReluBits:
    """The parameter ``relu_bits``: one width per site that may be ReLU.

    Args:
        sites: those sites, in execution order; at least one.
        options: widths in bits, see :func:`widths_of`.

    Raises:
        ConfigError: a width is wrong, or there is no site.
    """

    def __init__(self, sites: Sequence[str], options: Sequence[int]) -> None:
        if not sites:
            raise ConfigError("no activation can be ReLU", path="space.relu_bits")
        self.sites = tuple(sites)
        self._widths = widths_of(options)
        doc = f"bits compared at each of {len(sites)} sites that may be ReLU, in execution order"
        self.param = Param(NAME, Vector(Ordinal(self._widths), len(sites)), unit="bit", doc=doc)

    @property
    def widest(self) -> int:
        """The largest width."""
        return self._widths[-1]

    def check(self, point: Point) -> Sequence[Violation]:
        """What is wrong with the widths of ``point``."""
        value = point.get(NAME)
        if value is not None and self.param.domain.contains(value):
            return ()
        got = "nothing" if value is None else repr(value)
        text = got if len(got) <= 60 else got[:57] + "..."
        expected = self.param.domain.describe()
        return (Violation("domain", f"{NAME}: got {text}; expected {expected}", 1.0, "1"),)

    def set(self, choices: Sequence[SiteChoice], point: Point) -> tuple[SiteChoice, ...]:
        """``choices`` with the widths of ``point`` at every ReLU."""
        value = point[NAME]
        assert isinstance(value, tuple)  # checked before
        widths = dict(zip(self.sites, value, strict=True))
        return tuple(
            SiteChoice(c.site, c.operator, relu_bits=int(widths[c.site]))
            if c.operator == "relu"
            else c
            for c in choices
        )

    def read(self, choices: Sequence[SiteChoice]) -> tuple[int, ...]:
        """The entries of ``choices``; a ReLU on the whole ring counts as the widest."""
        own = {c.site: c.relu_bits for c in choices if c.operator == "relu"}
        return tuple(own.get(site) or self.widest for site in self.sites)

    def repair(self, point: Point, operators: Mapping[str, str]) -> tuple[Scalar, ...]:
        """Legal widths near those of ``point``: unknown ones, and those of sites that are no
        ReLU, become the widest.

        Raises:
            InfeasibleCandidate: they are missing or of another number.
        """
        value = point.get(NAME)
        if not isinstance(value, tuple) or len(value) != len(self.sites):
            raise InfeasibleCandidate(self.check(point))
        legal = self.param.domain
        assert isinstance(legal, Vector)
        return tuple(
            entry if operators.get(site) == "relu" and legal.element.contains(entry)
            else self.widest
            for site, entry in zip(self.sites, value, strict=True)
        )  # fmt: skip
