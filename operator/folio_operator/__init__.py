"""The operator: turns resources into a RayService and tells the truth about it."""
