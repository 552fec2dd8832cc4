"""One prompt, some questions or an embedding over many inputs, with nothing passing through the agent."""

from ollama_mcp.work.batch.run import BatchReport, run_batch
from ollama_mcp.work.batch.spec import BatchSpec
from ollama_mcp.work.batch.unfinished import UnfinishedBatch, unfinished_batches

__all__ = ["BatchReport", "BatchSpec", "UnfinishedBatch", "run_batch", "unfinished_batches"]
