"""The payload of nonlinearity placement: which operator stands at which site."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from search.api.errors import ConfigError, EvaluationError
from search.api.network import Site, Usage, Work, fixed_work

# A plan says `max`, cost models say `maxpool`: the first is a choice among pools, the second an
# operator among all operators of a network.
_WORK_NAME = {"max": "maxpool", "avg": "avgpool"}


def work_operator(operator: str) -> str:
    """Name under which cost models know the plan's ``operator``."""
    return _WORK_NAME.get(operator, operator)


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
        operator: ``relu``, ``x2act`` or ``identity`` at activations, ``max`` or ``avg`` at pools.
        artefacts: masks and coefficients; empty when the whole layer uses the plain operator.
    """

    site: str
    operator: str
    artefacts: tuple[ArtefactRef, ...] = ()


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

    def usage(self, sites: Sequence[Site]) -> Usage[float]:
        """The work of the whole network whose sites are ``sites`` under this plan.

        Raises:
            EvaluationError: the plan names a site the network does not have, or carries a mask,
                whose kept elements are not known here.
        """
        chosen = self.as_mapping()
        unknown = chosen.keys() - {site.name for site in sites}
        if unknown:
            raise EvaluationError(
                f"plan: site {min(unknown)!r} is not in the network "
                f"({len(sites)} sites). Was the plan made for another network?"
            )
        for choice in self.choices:
            if any(ref.role == "mask" for ref in choice.artefacts):
                raise EvaluationError(f"{choice.site}: the work of a masked layer is not known")
        works: list[Work[float]] = []
        for site in sites:
            operator = chosen.get(site.name)
            works.append(fixed_work(site, None if operator is None else work_operator(operator)))
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
