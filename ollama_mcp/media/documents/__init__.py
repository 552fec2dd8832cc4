"""PDF, DOCX, HTML and notebooks to plain text, each file in a process of its own that has limits.

The converters are pure Python or C on files of strangers: they would hold the interpreter for seconds, and a crafted
file can make them take hours or all memory. A process can be stopped, and what crashes there crashes alone.
"""
