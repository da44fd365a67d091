"""How fast this server is beside a plain Channels consumer: `python -m benchmarks`, one run on one machine."""
