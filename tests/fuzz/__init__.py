"""The fuzzer: inputs made from what a target's grammar says, bent at the edges, and checked for what may never happen.

`make fuzz SECONDS=600 SEED=n` runs it; `test_fuzz.py` runs a little of it, and again whatever it has found (`corpus/`).
"""
