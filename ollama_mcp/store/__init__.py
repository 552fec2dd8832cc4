"""What outlives a call, in one SQLite file: batch checkpoints, embeddings, words, notes on models, usage counts."""

from ollama_mcp.store.batches import Batches, BatchRun, CheckpointLost, RowResult
from ollama_mcp.store.embeddings import EmbeddingCache
from ollama_mcp.store.models import ModelStats
from ollama_mcp.store.store import Store
from ollama_mcp.store.tunings import Limit, Tuning, Tunings
from ollama_mcp.store.usage import UsageCounter, UsageRow, UsageSummary, UsageTotals

__all__ = [
    "BatchRun",
    "Batches",
    "CheckpointLost",
    "EmbeddingCache",
    "Limit",
    "ModelStats",
    "RowResult",
    "Store",
    "Tuning",
    "Tunings",
    "UsageCounter",
    "UsageRow",
    "UsageSummary",
    "UsageTotals",
]
