"""The backtest: a changed policy run over recorded decisions, with what the record cannot say."""
