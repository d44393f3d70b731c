"""Agents: the Model Context Protocol over HTTP. Thin: a tool's arguments become an order or a question, a job becomes a tool's result."""
