"""MongoDB, and nothing else of the project knows it. One module a collection; every change is a single-document compare-and-set.

No transactions, `Decimal128`, partial indexes, `arrayFilters`, pipeline updates or change streams: the same code runs on MongoDB
(standalone too), Atlas, DocumentDB, Cosmos DB and the embedded default. Not on FerretDB, which has several winners: see `proof`.
"""
