"""One machine as the place where a portfolio runs: its processes, files and ports."""
