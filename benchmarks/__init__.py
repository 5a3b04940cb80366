"""What Promptwire costs, each time next to the least that it could cost; and `benchmarks.demo`, which shows it at work.

`python -m benchmarks` measures. Timings are told here and asserted nowhere. docs/benchmarks.md says how to read them.
"""
