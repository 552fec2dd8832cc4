"""Comparison of models: the same prompts on each, with answers, speed and memory side by side."""

from ollama_mcp.work.compare.results import Comparison, ModelResult, Trial
from ollama_mcp.work.compare.run import ComparisonSpec, compare

__all__ = ["Comparison", "ComparisonSpec", "ModelResult", "Trial", "compare"]
