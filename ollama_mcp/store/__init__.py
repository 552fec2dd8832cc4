"""What outlives a call, in one SQLite file: checkpoints of batches, embeddings, notes on models, counters."""

from ollama_mcp.store.batches import Batches
from ollama_mcp.store.embeddings import Embeddings
from ollama_mcp.store.models import ModelNotes
from ollama_mcp.store.runs import BatchRun, CheckpointLost, RowResult
from ollama_mcp.store.store import Store
from ollama_mcp.store.usage import Tally, Totals, Usage, UsageRow

__all__ = [
    "BatchRun",
    "Batches",
    "CheckpointLost",
    "Embeddings",
    "ModelNotes",
    "RowResult",
    "Store",
    "Tally",
    "Totals",
    "Usage",
    "UsageRow",
]
