"""The `files` argument of a call: found, read and put before a model without passing through the agent."""

from ollama_mcp.work.files.documents import Document, ReadResult, UnreadFile, prompt_block, receipts
from ollama_mcp.work.files.passages import Passage, split_document
from ollama_mcp.work.files.reading import read_files, read_optional_files

__all__ = [
    "Document",
    "Passage",
    "ReadResult",
    "UnreadFile",
    "prompt_block",
    "read_files",
    "read_optional_files",
    "receipts",
    "split_document",
]
