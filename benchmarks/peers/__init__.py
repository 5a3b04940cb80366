"""Programs that benchmarks run in processes of their own. Each ends when its stdin does."""
