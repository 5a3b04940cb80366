"""Values and rules of the service: records, operations, changes, errors. No I/O, no gRPC, no Redis."""
