"""Tables for a terminal: one file for each kind of result. Nothing here measures or decides."""
