"""The async shell that joins core, gateways and store."""
