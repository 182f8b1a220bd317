"""A profile told to people: as a page, as a trace, beside another one. Reads reports, measures nothing."""
