"""What does watching cost?

A window slides by one group (two frames) at a time, and after each slide the same question is answered with 32 tokens:
by our context, which appends the group, and by `transformers`, which reads the whole prompt again. Both are given the
same frames in the same prompt: a context's window grows to its longest and is then rebuilt from its newest half, and
the re-run reads exactly the groups that the context holds at that moment, so it never reads more than we do. They take
turns, slide by slide; sums over a whole period of growing and rebuilding are compared, pair by pair.

At two samples a second a group is a second of video, so seconds per slide are seconds of compute per second of video.
They are the answer's age as well: each slide begins when its group is captured.
"""
