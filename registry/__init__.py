"""Which models exist, what they take and cost: data files and strict checks. Imports only the standard library."""
