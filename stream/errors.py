"""What can go wrong with a stream, as a tree; each message says what was found and what to do.

    StreamError
      UnknownScheme        no source is registered for this address
      BadAddress           the address cannot be read as it was meant (a raw "#" in a password)
      SourceNotFound       nothing is there: no such file, device or path on the server
      SourceUnreadable     something is there, but it cannot be decoded as pictures
      NoVideo              it opens, but holds no picture (audio only, empty folder)
      ConnectionFailed     the network or the server refused
      AuthenticationFailed the server wants another user or password
        LoginUnsupported   it wants a kind of login that cannot be given, whatever the password
      Stalled              connected, but nothing came within the read timeout
      BadPicture           a picture that the model cannot take (one pixel, 1:300), or that cannot become RGB
        CropOutside        the part of it that is to be looked at does not lie in it
      BadFrame             an array that was pushed and is no picture, or a time that is none
      SourceClosed         a picture pushed to a source that has ended
      NotWatched           a question about a stream that nobody watches, not yet or no longer
      NoPictureYet         a question about a stream of which nothing has been seen
      SinkUnwritable       the place where events should go cannot be written to
      ReaderGone           whoever read the events has left, as `head` does: nothing is wrong, and no more is wanted

Messages carry redacted addresses only. `code` is stable, for programs.
"""

from __future__ import annotations


class StreamError(Exception):
    """Any failure of a stream. Shown to the user as it is, without a traceback."""

    code = "STREAM_FAILED"


class UnknownScheme(StreamError):
    code = "STREAM_UNKNOWN_SCHEME"


class BadAddress(StreamError):
    code = "STREAM_BAD_ADDRESS"


class SourceNotFound(StreamError):
    code = "STREAM_NOT_FOUND"


class SourceUnreadable(StreamError):
    code = "STREAM_CODEC_UNSUPPORTED"


class NoVideo(StreamError):
    code = "STREAM_NO_VIDEO"


class ConnectionFailed(StreamError):
    code = "STREAM_CONNECTION_FAILED"


class AuthenticationFailed(StreamError):
    code = "STREAM_AUTH_FAILED"


class LoginUnsupported(AuthenticationFailed):
    code = "STREAM_AUTH_UNSUPPORTED"


class Stalled(StreamError):
    code = "STREAM_TIMEOUT"


class BadPicture(StreamError):
    code = "STREAM_BAD_PICTURE"


class CropOutside(BadPicture):
    code = "STREAM_CROP_OUTSIDE"


class BadFrame(StreamError, ValueError):
    """Also a ValueError: it is raised where the array was given."""

    code = "STREAM_BAD_FRAME"


class SourceClosed(StreamError):
    code = "STREAM_CLOSED"


class NotWatched(StreamError):
    code = "STREAM_NOT_WATCHED"


class NoPictureYet(StreamError):
    code = "STREAM_NO_PICTURE_YET"


class SinkUnwritable(StreamError):
    code = "SINK_UNWRITABLE"


class ReaderGone(StreamError):
    code = "SINK_READER_GONE"
