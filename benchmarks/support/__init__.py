"""What the benchmarks share: sampling, the table, the processes that they measure."""
