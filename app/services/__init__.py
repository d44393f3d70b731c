"""The use cases. Read in a job's life order: generation, dispatch, collection, settlement, recovery."""
