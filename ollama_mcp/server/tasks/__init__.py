"""MCP Tasks (io.modelcontextprotocol/tasks, SEP-2663): jobs as the tasks of clients that declare the extension."""
