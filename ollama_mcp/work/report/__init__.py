"""Reports: one self-contained HTML page with figures, tables and plots, without a script."""

from ollama_mcp.work.report.file import SUFFIXES, open_report, write_report
from ollama_mcp.work.report.page import Page, Section

__all__ = ["SUFFIXES", "Page", "Section", "open_report", "write_report"]
