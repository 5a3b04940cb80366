"""The Promptwire service: gRPC in front, Redis or Valkey behind, caches kept coherent in between."""
