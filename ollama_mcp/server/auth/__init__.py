"""Who may use the server over HTTP: tokens, what each may do, and how much of it."""
