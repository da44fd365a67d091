"""DESIGN.md 1.1 held against the running server, as an outside client sees it: over sockets, HTTP and commands only."""
