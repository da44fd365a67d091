"""Stand-ins for vendors, on loopback, that speak the real protocols: `python -m tests.vendors coinbase --help`."""
