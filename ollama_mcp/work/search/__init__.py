"""Search: the passages of files and texts that hold the words of a query or are nearest to it in meaning."""

from ollama_mcp.work.search.corpus import Place
from ollama_mcp.work.search.searching import FoundPlace, SearchResult, search

__all__ = ["FoundPlace", "Place", "SearchResult", "search"]
