"""What can go wrong on the device, as a tree; each message says what was found and what to do.

    EdgeError
      ModelError
        ModelNotFound      no such folder, and no such model on the hub or in its local cache
        ModelUnreadable    a file of the model is missing, damaged, or in a format this version does not read
        WrongArchitecture  the model is sound, but it is not a Qwen2-VL
        DeviceUnusable     the device asked for is not there or cannot compute
        UnknownDtype       a name of no number type that a model can be computed in
        UnknownRunner      a name that leads to no runner
        UnknownKernel      a name that leads to no kernel
        DoesNotFit         the model needs more memory than the device has free
      PromptError
        BadMessage         a message that is no chat message, or a part of it that cannot be read
        AccessDenied       a file, host or amount that whoever wrote the message may not name
        PromptTooLong      the conversation or the question does not fit
        NothingSeen        a question about a stream before its first picture
        NotTaught          a question about real things, while nobody named a model that knows them
      NoExamples           a file or folder of examples that is not there, or holds none that can be used
      NotComparable        two models that do not read and write the same tokens
      ReportUnreadable     a file that is no report of a profile, or of another version
      BadArgument          a program handed over something of another kind than is wanted
      BadSampling          generation settings that mean nothing (a negative temperature)
      OptionRefused        what options say of a device or a workload means nothing
      OutputRefused        a file to write that is one of those to read, or another one to write
      OutputUnwritable     what was asked for cannot be written: the disk is full
      NameTaken            a stream of that name is watched already
      NoSuchStream         a stream of that name is not watched
      NotAllowed           a daemon that would listen to everybody without a token, or is asked without one
      BadConfig            a configuration that cannot be read, or says what means nothing
      StoreUnreadable      a file of events that cannot be opened, or of a newer version
      SearchTooSlow        a search among events that took too long
      EventsLost           events or answers were made that did not arrive where they should

Failures of cameras and pictures are `stream.errors.StreamError`. Messages never carry credentials or the
payload of a picture. `code` is stable, for programs.
"""

from __future__ import annotations


def is_out_of_memory(error: BaseException) -> bool:
    """PyTorch has a type of its own for that on a GPU, and on a CPU a RuntimeError among others."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    said = str(error)
    return isinstance(error, RuntimeError) and ("can't allocate memory" in said or "out of memory" in said)


class EdgeError(Exception):
    """Any failure the user can do something about. Shown as it is, without a traceback."""

    code = "EDGE_FAILED"


class ModelError(EdgeError):
    code = "MODEL_FAILED"


class ModelNotFound(ModelError):
    code = "MODEL_NOT_FOUND"


class ModelUnreadable(ModelError):
    code = "MODEL_UNREADABLE"


class WrongArchitecture(ModelError):
    code = "MODEL_WRONG_ARCHITECTURE"


class DeviceUnusable(ModelError):
    code = "DEVICE_UNUSABLE"


class UnknownDtype(ModelError, ValueError):
    """Also a ValueError: what an option says, which is found out before anything is loaded."""

    code = "DTYPE_UNKNOWN"


class UnknownRunner(ModelError):
    code = "RUNNER_UNKNOWN"


class UnknownKernel(ModelError):
    code = "KERNEL_UNKNOWN"


class DoesNotFit(ModelError):
    code = "MODEL_DOES_NOT_FIT"


class PromptError(EdgeError):
    code = "PROMPT_FAILED"


class BadMessage(PromptError):
    code = "PROMPT_BAD_MESSAGE"


class AccessDenied(PromptError):
    code = "PROMPT_ACCESS_DENIED"


class PromptTooLong(PromptError):
    code = "PROMPT_TOO_LONG"


class NothingSeen(PromptError):
    code = "PROMPT_NOTHING_SEEN"


class NotTaught(PromptError):
    code = "PROMPT_NOT_TAUGHT"


class NoExamples(EdgeError):
    code = "EXAMPLES_NONE"


class NotComparable(EdgeError):
    code = "MODELS_NOT_COMPARABLE"


class ReportUnreadable(EdgeError):
    code = "REPORT_UNREADABLE"


class BadArgument(EdgeError, TypeError):
    """Also a TypeError: it is raised where the argument was given."""

    code = "ARGUMENT_INVALID"


class BadSampling(EdgeError, ValueError):
    """Also a ValueError: settings are checked where they are made, often in the caller's own code."""

    code = "SAMPLING_INVALID"


class BadSchema(EdgeError, ValueError):
    """A JSON schema that answers cannot follow, or not within their tokens."""

    code = "SCHEMA_INVALID"


class OptionRefused(EdgeError, ValueError):
    """Also a ValueError: what options say, which is found out before anything is computed."""

    code = "OPTION_REFUSED"


class OutputRefused(EdgeError, ValueError):
    """Also a ValueError: what an option says, which is found out before anything is opened."""

    code = "OUTPUT_REFUSED"


class OutputUnwritable(EdgeError):
    code = "OUTPUT_UNWRITABLE"


class EventsLost(EdgeError):
    code = "SINK_EVENTS_LOST"


class NameTaken(EdgeError):
    code = "EDGE_NAME_TAKEN"


class NoSuchStream(EdgeError):
    code = "EDGE_NO_SUCH_STREAM"


class NotAllowed(EdgeError):
    code = "EDGE_NOT_ALLOWED"


class BadConfig(EdgeError, ValueError):
    """Also a ValueError: what a file says, which is found out before anything is opened."""

    code = "EDGE_BAD_CONFIG"


class StoreUnreadable(EdgeError):
    code = "EDGE_STORE_UNREADABLE"


class SearchTooSlow(EdgeError):
    code = "EDGE_SEARCH_TOO_SLOW"
