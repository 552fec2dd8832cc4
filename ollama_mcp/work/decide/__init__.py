"""Classifying, scoring and checking texts and images by questions with a fixed set of answers."""

from ollama_mcp.work.decide.decider import Decider, Way, prepare_decider
from ollama_mcp.work.decide.questions import Question
from ollama_mcp.work.decide.verdicts import Verdict

__all__ = ["Decider", "Question", "Verdict", "Way", "prepare_decider"]
