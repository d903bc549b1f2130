"""Release checks: what an exported graph and its gate must pass before they become a bundle.

`judge` says what passed, failed and inconclusive mean.
"""

from tamiz_convert.checks.baselines import Rule, all_rules, baseline_entries, baseline_predictions
from tamiz_convert.checks.draft import draft
from tamiz_convert.checks.output import write_json, write_junit
from tamiz_convert.checks.runner import run_checks
from tamiz_convert.checks.specification import Specification, specification_of
from tamiz_convert.checks.terminal import show_results

__all__ = [
    "Rule",
    "Specification",
    "all_rules",
    "baseline_entries",
    "baseline_predictions",
    "draft",
    "run_checks",
    "show_results",
    "specification_of",
    "write_json",
    "write_junit",
]
