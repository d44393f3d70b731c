"""The HTTP contract, one module per resource: check, call one service, shape the answer. Nothing below this package knows Flask."""
