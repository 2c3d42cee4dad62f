"""Small heads over texts: which intent a request has, which label a specialist gives."""
