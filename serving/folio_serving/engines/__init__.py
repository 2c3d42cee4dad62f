"""What answers inside a model replica, one module an engine."""
