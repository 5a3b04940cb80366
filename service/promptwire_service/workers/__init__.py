"""Several processes on one port: `supervisor.py` starts, restarts, replaces and ends them, `worker.py` is one of them.

They talk over a socket pair, in lines of JSON (`messages.py`). It tells each of the other's end too.
"""
