"""The gates: every rule for a turn that code can check."""

from ultralink.gates.check import answer_findings, question_findings
from ultralink.gates.finding import Finding, Gate

__all__ = ["Finding", "Gate", "answer_findings", "question_findings"]
