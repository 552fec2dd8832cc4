"""Makes the pages that are generated, and what the site needs."""
