"""Pictures and videos that a message names, brought to the form the vision tower takes. Knows no model."""
