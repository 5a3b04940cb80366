"""The store that comes with the package: a real valkey-server, owned by this process, on a unix socket.

`server.py` starts it, restarts it and stops it; `launch.py` ties its life to its owner's; `data_dir.py` keeps a
second owner out; `valkey_log.py` reads what it said; `binary.py` finds the program.
"""
