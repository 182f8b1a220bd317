"""What can go wrong with weights and their files, as a tree; each message says what was found and what to do.

    QuantizeError
      BadVariant          a way to store numbers that does not exist ("int3", groups of 100)
      BadPlan             a preset or a pattern that names nothing
      DoesNotDivide       a matrix whose width no group or word divides
      NotFinite           a weight that holds inf or nan, with the layer's name
      NotDefinite         statistics that are no mean of x xᵀ
      AlreadyQuantized    the source is a variant already
      AdapterNotMerged    weights of a PEFT adapter that were never merged into the model
      CheckpointUnreadable  a file of the source is missing or damaged
      NothingToCalibrate  a calibration folder without a readable clip or picture
      OutputExists        the output folder is there already
      OutputFailed        the output cannot be written (a full disk, no permission)
      ArtifactDamaged     a variant whose files do not agree with its manifest or its own config
      FormatUnknown       files in a layout this version does not read, or cannot write

`code` is stable, for programs.
"""

from __future__ import annotations


class QuantizeError(Exception):
    """Any failure the user can do something about. Shown as it is, without a traceback."""

    code = "QUANTIZE_FAILED"


class BadVariant(QuantizeError, ValueError):
    code = "VARIANT_INVALID"


class BadPlan(QuantizeError, ValueError):
    code = "PLAN_INVALID"


class DoesNotDivide(QuantizeError):
    code = "WEIGHT_DOES_NOT_DIVIDE"


class NotFinite(QuantizeError):
    code = "WEIGHT_NOT_FINITE"


class NotDefinite(QuantizeError):
    code = "STATISTICS_NOT_DEFINITE"


class AlreadyQuantized(QuantizeError):
    code = "SOURCE_ALREADY_QUANTIZED"


class CheckpointUnreadable(QuantizeError):
    code = "CHECKPOINT_UNREADABLE"


class AdapterNotMerged(CheckpointUnreadable):
    code = "ADAPTER_NOT_MERGED"


class NothingToCalibrate(QuantizeError):
    code = "CALIBRATION_EMPTY"


class OutputExists(QuantizeError):
    code = "OUTPUT_EXISTS"


class OutputFailed(QuantizeError):
    code = "OUTPUT_FAILED"


class ArtifactDamaged(QuantizeError):
    code = "ARTIFACT_DAMAGED"


class FormatUnknown(QuantizeError):
    code = "FORMAT_UNKNOWN"
