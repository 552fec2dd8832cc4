"""Evaluation: which installed model is good enough, measured on the user's own examples."""

from ollama_mcp.work.evaluate.report import Evaluation, ModelRow
from ollama_mcp.work.evaluate.run import evaluate
from ollama_mcp.work.evaluate.spec import EvaluationSpec

__all__ = ["Evaluation", "EvaluationSpec", "ModelRow", "evaluate"]
