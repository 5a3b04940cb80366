"""`make demo`: a service, a few agents, and an alias that moves."""
