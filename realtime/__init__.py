"""Upstream in, sockets out: feeds, the bus between processes, and the WebSocket protocol."""
