"""How far a check of answers can be trusted: measured where the truth became known later.

A check is an `accept` check, a caller's own check by feedback, or the agreement of two models. The
truth of a checked answer comes from audits: feedback that says whether an accepted or a rejected
answer was right after all.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

# A check without audits is believed to be wrong in 5 % of cases, as if 20 audits had said so.
PRIOR_ERROR, PRIOR_WEIGHT = 0.05, 20.0


class Check(NamedTuple):
    """P(accepted | wrong) and P(rejected | right)."""

    false_accept: float = 0.0
    false_reject: float = 0.0

    def accepts(self, success: float) -> float:
        """Return how often answers are accepted that are right with this probability."""
        return success * (1.0 - self.false_reject) + (1.0 - success) * self.false_accept

    def truth(self, success: float, *, accepted: bool) -> float:
        """Return how likely an answer is right, once the check has spoken.

        80 % right before, 20 % false accepts, 10 % false rejects: accepted answers are right in
        0.72 / (0.72 + 0.04) = 0.947, rejected ones in 0.08 / (0.08 + 0.16) = 0.333 of cases.
        """
        right = success * (1.0 - self.false_reject if accepted else self.false_reject)
        wrong = (1.0 - success) * (self.false_accept if accepted else 1.0 - self.false_accept)
        return right / (right + wrong) if right + wrong > 0.0 else success

    def evidence(self, accepted: float, times: float) -> tuple[float, float]:
        """Return for how many outcomes these count, and how many of them were right.

        80 of 100 accepted with 20 % false accepts and 10 % false rejects are as good as 70 outcomes
        of which 80 - 20 = 60 were right, 86 %; of 30 accepted 10 of 70 were right. Taking the
        check's word for the truth would make the cheapest model look best; a check that cannot tell
        right from wrong teaches nothing. (The rate is that of Rogan and Gladen, Am. J. Epidemiol.
        107 (1978), 71-76; the weight keeps the noise of a poor check from counting as evidence.)
        """
        weight = max(0.0, 1.0 - self.false_accept - self.false_reject) * times
        return weight, min(weight, max(0.0, accepted - self.false_accept * times))


TRUE_CHECK = Check()


@dataclass(slots=True)
class CheckAudits:
    """How often a check was right, by what turned out to be true."""

    right_accepted: float = 0.0
    right_rejected: float = 0.0
    wrong_accepted: float = 0.0
    wrong_rejected: float = 0.0

    def record(self, *, accepted: bool, right: bool, times: float = 1.0) -> None:
        """Count audited answers."""
        name = f"{'right' if right else 'wrong'}_{'accepted' if accepted else 'rejected'}"
        setattr(self, name, getattr(self, name) + times)

    def check(self, error: float = PRIOR_ERROR, weight: float = PRIOR_WEIGHT) -> Check:
        """Return the measured rates, starting from a prior error rate."""
        wrong = self.wrong_accepted + self.wrong_rejected
        right = self.right_accepted + self.right_rejected
        return Check(
            false_accept=(error * weight + self.wrong_accepted) / (weight + wrong),
            false_reject=(error * weight + self.right_rejected) / (weight + right),
        )

    def document(self) -> dict[str, Any]:
        """Return the counts as a JSON document; `CheckAudits(**document)` reads it."""
        return asdict(self)


@dataclass(slots=True)
class Agreement:
    """How often two models gave the same answer, and how often that answer was right.

    `agreed_unknown` counts shared answers of which nobody said whether they were right.
    """

    agreed_right: float = 0.0
    agreed_wrong: float = 0.0
    disagreed: float = 0.0
    agreed_unknown: float = 0.0

    @property
    def agreed(self) -> float:
        """How often the two gave the same answer."""
        return self.agreed_right + self.agreed_wrong + self.agreed_unknown

    def rates(self, first: float, second: float, weight: float = PRIOR_WEIGHT) -> AgreementRates:
        """Return the rates, starting from those of two models that err independently.

        Both right agree; of two wrong answers a quarter is taken to be the same one.
        """
        both_right, both_wrong = first * second, (1.0 - first) * (1.0 - second)
        agreed = both_right + 0.25 * both_wrong
        known = self.agreed_right + self.agreed_wrong
        share = (agreed * weight + self.agreed) / (weight + self.agreed + self.disagreed)
        right = (both_right / agreed * weight + self.agreed_right) / (weight + known)
        return AgreementRates(share, right)

    def record(self, *, agreed: bool, right: bool, times: float = 1.0) -> None:
        """Count pairs of answers; `right` says whether the shared answer was right."""
        if not agreed:
            self.disagreed += times
        elif right:
            self.agreed_right += times
        else:
            self.agreed_wrong += times


class AgreementRates(NamedTuple):
    """How often two models agree, and how often they are right then."""

    agrees: float
    right_when_agreed: float
