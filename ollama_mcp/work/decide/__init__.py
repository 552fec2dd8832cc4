"""Classifying, scoring and checking texts and images by questions with a fixed set of answers."""

from ollama_mcp.work.decide.decider import Decider, DecisionMethod, prepare_decider
from ollama_mcp.work.decide.questions import ClosedQuestion
from ollama_mcp.work.decide.verdicts import Verdict

__all__ = ["ClosedQuestion", "Decider", "DecisionMethod", "Verdict", "prepare_decider"]
