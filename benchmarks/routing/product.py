"""The bridge to the product: its classifier, its estimates, its selection, on recorded prompts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal

from benchmarks.routing.catalogue import READ_AT
from benchmarks.routing.datasets import Case, Dataset
from models.classification import Classification, TypeInference, classify
from models.features import RequestFeatures, request_features
from models.learning.chain_orders import starting_chain
from models.learning.kinds import ANY, Kind
from models.learning.options import aim_of, beliefs_in, options_for
from models.learning.posteriors import Outcomes, Posteriors
from models.learning.priorities import by_utility
from models.learning.text_types import LearnedTypes, learned_types
from models.plan import Plan
from models.policy import LearnedOrder, Policy, PolicyModel
from models.request import Accept, RoutingRequest
from models.selection import select
from models.snapshot import BudgetRoom, Snapshot
from models.task_types import GENERAL, TASK_TYPES, TaskType
from models.type_evidence import words_of
from models.type_inference import infer_task_type

PLENTY_USD = Decimal(1000)
_BUDGETS = (
    BudgetRoom("global daily", "global", "*", PLENTY_USD, Decimal(0), Decimal(0)),
)  # fmt: skip


class Classifier:
    """Classes of a data set's cases, each found once.

    `true` gives the recorded task as the caller's label, `rules` lets the product's fixed rules
    infer a type, `learned` infers one of the recorded tasks from the words of the training part.
    """

    def __init__(self, data: Dataset, types: str, train: Sequence[int] = ()) -> None:
        self._data, self._given = data, types == "true"
        self._infer: TypeInference = infer_task_type
        names = {case.task for case in data.cases} | {GENERAL}
        if types == "learned":
            self.learned = learned_from(data, train)
            self._infer = self.learned.infer
            names = {*self.learned.names, GENERAL}
        self._known = (
            TASK_TYPES
            if types == "rules"
            else {name: TaskType(name, "benchmark", "") for name in sorted(names)}
        )
        self._found: dict[int, Classification] = {}

    def of(self, place: int) -> Classification:
        """Return the class of a case, by `models.classification.classify`."""
        found = self._found.get(place)
        if found is None:
            case = self._data.cases[place]
            found = self._found[place] = self.classify(request_of(case, given=self._given))
        return found

    def classify(self, request: RoutingRequest) -> Classification:
        """Return the class of a request."""
        return classify(request, self._known, self._infer)


def learned_from(data: Dataset, train: Sequence[int]) -> LearnedTypes:
    """Return the task types that the words of the training part teach."""
    cases = [data.cases[place] for place in train]
    return learned_types((case.task, words_of(case.text[:3400])) for case in cases)


def request_of(case: Case, *, given: bool) -> RoutingRequest:
    """Return the case as a request, with its task as the caller's label or without."""
    return RoutingRequest(prompt=case.text or " ", task_type=case.task if given else None)


class Router:
    """The product's selection over a data set's models, at one value of a success.

    One that `escalates` takes every request for one whose answer is checked.
    """

    def __init__(self, data: Dataset, value_usd: float, *, escalates: bool = False) -> None:
        self.data, self._escalates = data, escalates
        self.cards = {card.model_id: card for card in data.cards}
        listed = _policy(data.models, value_usd)
        self.aim = aim_of(listed)
        self.beliefs = beliefs_in(listed, self.cards)
        nothing = options_for(Posteriors(), Kind(), self.beliefs)
        best_first = [one.model_id for one in by_utility(nothing, self.aim)]
        self.policy = _policy(best_first, value_usd, escalates=escalates)
        asked = RoutingRequest(
            prompt="money is not at issue here", accept=Accept(min_chars=1) if escalates else None
        )
        self._features = request_features(asked)
        self._plans: dict[tuple[object, ...], Plan] = {}
        self._starting: dict[str, LearnedOrder | None] = {}

    def learn(self, posteriors: Posteriors, kinds: Iterable[Kind]) -> None:
        """Let the estimates decide the order for each kind, without patience for an older one."""
        orders = []
        for kind in kinds:
            best = by_utility(options_for(posteriors, kind, self.beliefs), self.aim)
            orders.append(order_of(kind, [one.model_id for one in best]))
        self.policy = self.policy.model_copy(update={"orders": tuple(orders)})
        self._plans.clear()

    def follow(self, order: LearnedOrder) -> None:
        """Make one learned order the policy's only one."""
        self.policy = self.policy.model_copy(update={"orders": (order,)})

    def plan(self, found: Classification) -> Plan:
        """Return the product's plan for a class; made once for each order."""
        order, chain = self.policy.order_for(found.task_type, found.complexity), None
        if self._escalates:
            chain = self.policy.chain_order_for(found.task_type, found.complexity, "accept")
        known = order is not None and (chain is not None or not self._escalates)
        key = (order, chain, "" if known else (found.task_type, found.complexity.value))
        plan = self._plans.get(key)
        if plan is None:
            plan = self._plans[key] = select(self.snapshot(found, self._features))
        return plan

    @property
    def prior_choice(self) -> str:
        """The model that public priors and list prices name, before any outcome."""
        return self.policy.ordered_models()[0].model_id

    def choice(self, found: Classification) -> str:
        """Return the model that is asked first."""
        return self.plan(found).candidates[0].model_id

    def chooser(self, classes: Classifier) -> Callable[[int], str]:
        """Return the first choice by the place of a case."""
        return lambda place: self.choice(classes.of(place))

    def snapshot(self, found: Classification, features: RequestFeatures) -> Snapshot:
        """Return what the selection depends on; money is plenty, every price known."""
        return Snapshot(
            features=features,
            classification=found,
            policy=self.policy,
            policy_reason="benchmark",
            cards=self.data.cards,
            statistics=(),
            budgets=_BUDGETS,
            draw=0.5,
            now=READ_AT,
            starting_chain=self._starting_chain(found, features),
        )

    def _starting_chain(
        self, found: Classification, features: RequestFeatures
    ) -> LearnedOrder | None:
        if found.task_type not in self._starting:
            first = starting_chain(self.policy, self.cards, found, features)
            self._starting[found.task_type] = first
        return self._starting[found.task_type]


def order_of(kind: Kind, models: Sequence[str]) -> LearnedOrder:
    """Return an order as the product's policy stores it."""
    return LearnedOrder.model_validate(
        {
            "task_type": kind.task_type,
            "complexity": None if kind.complexity == ANY else kind.complexity,
            "models": list(models),
        }
    )


def table(
    data: Dataset, places: Iterable[int], classes: Classifier, *, by_complexity: bool
) -> Posteriors:
    """Return the posteriors of recorded outcomes of all models, none of them older than others."""
    made = Posteriors(discount=1.0)
    for place in places:
        case, found = data.cases[place], classes.of(place)
        kind = kind_of(found, by_complexity=by_complexity)
        record(made, case, kind, data.models)
    return made


def record(posteriors: Posteriors, case: Case, kind: Kind, models: Iterable[str]) -> None:
    """Count the case's outcomes of these models."""
    for name in models:
        posteriors.record(name, kind, Outcomes(case.success[name], case.cost_usd[name]))


def kind_of(found: Classification, *, by_complexity: bool) -> Kind:
    """Return the cell that a class falls in."""
    return Kind(found.task_type, found.complexity.value if by_complexity else ANY)


def kinds_of(classes: Classifier, places: Iterable[int], *, by_complexity: bool) -> list[Kind]:
    """Return the cells that occur, and the one for everything else."""
    found = {kind_of(classes.of(place), by_complexity=by_complexity) for place in places}
    return [*sorted(found), Kind()]


def _policy(models: Sequence[str], value_usd: float, *, escalates: bool = False) -> Policy:
    """Return the policy of a new installation: its priorities are what public priors say."""
    listed = tuple(
        PolicyModel(provider=None, model=name, priority=number)
        for number, name in enumerate(models, start=1)
    )
    return Policy(
        name="benchmark",
        models=listed,
        max_cost_per_task=PLENTY_USD,
        success_value_usd=Decimal(str(value_usd)),
        fallbacks="any",
        escalation="on" if escalates else "off",
        allow_downgrade_by_simplicity=False,  # complexity tiers are a rule of thumb, not learned
    )
