"""What a variant loses: two models, the same questions, how far apart they are and whose answers are right."""
