"""The payload of nonlinearity placement: which operator stands at which site."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from search.api.errors import ConfigError, EvaluationError
from search.api.network import Site, Usage, Work, fixed_work, part_work

# A plan says `max`, cost models say `maxpool`: the first is a choice among pools, the second an
# operator among all operators of a network.
_WORK_NAME = {"max": "maxpool", "avg": "avgpool"}


# Between the kept and the replacing operator of a masked site: `relu/poly2`.
_MASKED = "/"


def work_operator(operator: str) -> str:
    """Name under which cost models know the plan's ``operator``."""
    return _WORK_NAME.get(operator, operator)


def masked_operator(replacement: str) -> str:
    """Name of the operator that is ReLU where a mask keeps it and ``replacement`` elsewhere."""
    return f"relu{_MASKED}{replacement}"


def parts_of(operator: str) -> tuple[str, str] | None:
    """``(kept, replacement)`` of a masked operator, None for a plain one."""
    kept, found, replacement = operator.partition(_MASKED)
    return (kept, replacement) if found else None


@dataclass(frozen=True)
class ArtefactRef:
    """A file that belongs to a choice and is too large for the plan itself.

    Args:
        role: what it holds: ``mask`` (pixels, channels, nodes) or ``coefficients``.
        digest: SHA-256 of the file, hexadecimal.
    """

    role: str
    digest: str


@dataclass(frozen=True)
class SiteChoice:
    """One site's operator.

    Args:
        site: name of the site.
        operator: ``relu``, ``x2act``, ``identity``, ``poly1`` to ``poly4`` or a masked one such as
            ``relu/poly2`` at activations, ``max`` or ``avg`` at pools.
        artefacts: the mask of a masked operator; empty when the whole layer uses a plain one.
        kept: ReLU elements that a mask keeps, more than 0 and fewer than the site has; None
            without a mask.
        relu_bits: width of the ring in which the sign is compared; None for the whole ring.
    """

    site: str
    operator: str
    artefacts: tuple[ArtefactRef, ...] = ()
    kept: int | None = None
    relu_bits: int | None = None

    @property
    def mask(self) -> str | None:
        """SHA-256 of the mask, see ``search.workloads.masked.mask_digest``; None without one."""
        return next((ref.digest for ref in self.artefacts if ref.role == "mask"), None)

    def works(self, site: Site) -> tuple[Work[float], ...]:
        """What ``site`` does under this choice: one piece of work, or two of a masked site.

        Raises:
            EvaluationError: a masked operator without a count, or one that cannot be.
        """
        parts = parts_of(self.operator)
        if parts is None:
            work = fixed_work(site, work_operator(self.operator))
            return (work if self.relu_bits is None else replace(work, bits=self.relu_bits),)
        kept, replacement = parts
        if self.kept is None or not 0 < self.kept < site.elements:
            raise EvaluationError(
                f"{self.site}: {self.operator} keeps {self.kept} of {site.elements} elements "
                "(expected more than none and fewer than all)"
            )
        rest = float(site.elements - self.kept)
        return (
            part_work(site, kept, float(self.kept), self.relu_bits),
            part_work(site, replacement, rest),
        )


@dataclass(frozen=True)
class NonlinearityPlan:
    """The operator at every site where one may be chosen, fixed ones included.

    Args:
        choices: in execution order, one per site.
    """

    choices: tuple[SiteChoice, ...]

    def as_mapping(self) -> dict[str, str]:
        """Site name -> operator, in execution order."""
        return {choice.site: choice.operator for choice in self.choices}

    def masks(self) -> dict[str, str]:
        """Site name -> digest of its mask, for the masked sites."""
        return {c.site: c.mask for c in self.choices if c.mask is not None}

    def usage(self, sites: Sequence[Site]) -> Usage[float]:
        """The work of the whole network whose sites are ``sites`` under this plan.

        Raises:
            EvaluationError: the plan names a site the network does not have, or a mask without
                a sensible count.
        """
        chosen = {choice.site: choice for choice in self.choices}
        unknown = chosen.keys() - {site.name for site in sites}
        if unknown:
            raise EvaluationError(
                f"plan: site {min(unknown)!r} is not in the network "
                f"({len(sites)} sites). Was the plan made for another network?"
            )
        works: list[Work[float]] = []
        for site in sites:
            choice = chosen.get(site.name)
            works += (fixed_work(site),) if choice is None else choice.works(site)
        return works

    @classmethod
    def decode(cls, data: Any) -> NonlinearityPlan:
        """The plan from its JSON form (what ``to_plain`` of a plan gives).

        Raises:
            ConfigError: the data has another form.
        """
        try:
            choices = tuple(
                SiteChoice(
                    _text(entry["site"]),
                    _text(entry["operator"]),
                    tuple(
                        ArtefactRef(_text(ref["role"]), _text(ref["digest"]))
                        for ref in entry.get("artefacts", ())
                    ),
                    _count(entry.get("kept")),
                    _count(entry.get("relu_bits")),
                )
                for entry in data["choices"]
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise ConfigError(
                "not a nonlinearity plan (expected {'choices': [{'site': ..., 'operator': ...}, "
                f"...]}}; {type(error).__name__}: {error})"
            ) from error
        return cls(choices)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"expected text (got {value!r})")
    return value


def _count(value: object) -> int | None:
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
        raise TypeError(f"expected a whole number above 0 (got {value!r})")
    return value


def check_shares(
    shares: Mapping[str, Mapping[str, Any]], options: Mapping[str, tuple[str, ...]]
) -> None:
    """That relaxed ``shares`` name exactly the sites of ``options`` and only their operators.

    Raises:
        ConfigError: a site is missing or unknown, or an operator may not stand there.
    """
    for site in options:
        if site not in shares:
            raise ConfigError(f"shares: no entry for site {site!r} (one per free site is needed)")
    for site, operators in shares.items():
        if site not in options:
            raise ConfigError(f"shares: {site!r} is not a free site (known: {', '.join(options)})")
        for operator in operators:
            if operator not in options[site]:
                raise ConfigError(
                    f"shares: {operator!r} may not stand at {site!r} "
                    f"(known: {', '.join(options[site])})"
                )
