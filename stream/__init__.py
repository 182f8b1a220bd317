"""Time and pictures: cameras and files in, groups of frames to a model, events out. Never imports torch."""
