"""The data plane: answers OpenAI requests from a routing table, and knows nothing of Kubernetes."""
