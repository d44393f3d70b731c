"""Processes that work: RQ workers (`python -m workers`) and the watcher (`python -m workers.watcher`). Never imports `app.api`."""
