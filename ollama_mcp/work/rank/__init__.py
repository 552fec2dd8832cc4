"""Finding the passages of files and texts that are nearest to a query in meaning."""

from ollama_mcp.work.rank.corpus import Place
from ollama_mcp.work.rank.ranking import Hit, Ranking, rank

__all__ = ["Hit", "Place", "Ranking", "rank"]
