"""Portfolios of a Kubernetes cluster, as the command reads them. It writes nothing there."""
