"""Settings by purpose: `demo` for `./run`, `test` for `./test`, `production`; all start from `base`."""
