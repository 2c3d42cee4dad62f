"""The retriever engine: answers from an index by quoting it, without any language model."""
