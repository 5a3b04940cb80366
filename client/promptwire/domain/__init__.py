"""Pure values and rules that client and service share: names, references, templates, content.

No I/O, no gRPC, nothing else of ours: a rule stated here holds on both sides of the wire.
"""
