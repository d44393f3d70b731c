"""The routes of whoever runs the service: everybody else is refused before anything is read."""
