"""What is made of a profile: a page, a trace, a comparison with another profile. Measures nothing, prints nothing."""
