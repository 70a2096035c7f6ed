"""The budget ledger (docs/ledger.md): the only code that moves money."""

from models.ledger import AuditReport
from tasks.adapters.ledger.ledger import Ledger
from tasks.adapters.ledger.reconcile import Billing, checkpoint_key, reconcile_unknown

__all__ = ["AuditReport", "Billing", "Ledger", "checkpoint_key", "reconcile_unknown"]
