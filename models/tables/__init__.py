"""The rows of the database: the only package that knows SQLModel.

A row class says what a table holds; what a value may be is validated before (SQLModel tables do
not validate) and once more by the CHECKs of migrations/versions. Rules never take a row.
"""

from sqlmodel import SQLModel

from models.tables.answers import AnswerInFlightRow, CachedAnswerRow
from models.tables.batches import BatchItemRow, BatchRow, UpstreamBatchRow
from models.tables.callers import ApiKeyRow, DecisionFeedbackRow
from models.tables.canaries import PolicyCanaryRow
from models.tables.learning import LearnedHourRow, LearningProgressRow
from models.tables.ledger import (
    BudgetAdjustmentRow,
    BudgetDefinitionRow,
    CostBudgetRow,
    KeyCheckpointRow,
    ModelSelectionRow,
)
from models.tables.limits import RateLimitRow, RateTicketRow, RateWorkerRow
from models.tables.routing import (
    GovernanceTaskRow,
    InstallationRow,
    ModelCatalogueRow,
    ModelPerformanceRow,
    RoutingDecisionRow,
    RoutingPolicyRow,
    RoutingPolicyVersionRow,
)
from models.tables.waiting import AlertRow, ApprovalRow

__all__ = [
    "AlertRow",
    "AnswerInFlightRow",
    "ApiKeyRow",
    "ApprovalRow",
    "BatchItemRow",
    "BatchRow",
    "BudgetAdjustmentRow",
    "BudgetDefinitionRow",
    "CachedAnswerRow",
    "CostBudgetRow",
    "DecisionFeedbackRow",
    "GovernanceTaskRow",
    "InstallationRow",
    "KeyCheckpointRow",
    "LearnedHourRow",
    "LearningProgressRow",
    "ModelCatalogueRow",
    "ModelPerformanceRow",
    "ModelSelectionRow",
    "PolicyCanaryRow",
    "RateLimitRow",
    "RateTicketRow",
    "RateWorkerRow",
    "RoutingDecisionRow",
    "RoutingPolicyRow",
    "RoutingPolicyVersionRow",
    "SQLModel",
    "UpstreamBatchRow",
]
