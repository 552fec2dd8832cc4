"""What each endpoint of the simulated server answers."""
