"""Questions with numbers: how fast, how big, how good."""
