"""Search by meaning: the passages of files and texts that are nearest to a query."""

from ollama_mcp.work.rank.corpus import Place
from ollama_mcp.work.rank.ranking import RankedPlace, Ranking, rank

__all__ = ["Place", "RankedPlace", "Ranking", "rank"]
