"""From the name a user types to the folder of a model: the embedded one, a local folder, or a hub repository."""

from __future__ import annotations

import re
from pathlib import Path

from huggingface_hub import constants, snapshot_download
from huggingface_hub.errors import GatedRepoError, LocalEntryNotFoundError, RepositoryNotFoundError

from edge.errors import ModelNotFound

POCKET = Path(__file__).parent / "pocket" / "model"
REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")

# All a Qwen2-VL needs to run: no PyTorch pickles, no second copies in other formats.
NEEDED_FILES = ["*.json", "*.safetensors", "*.jinja", "merges.txt"]


def find_model(name: str) -> Path:
    """The folder of "pocket", of a local path, or of a hub repository such as "Qwen/Qwen2-VL-2B-Instruct".

    A repository is fetched once and then found in the local cache. Raises ModelNotFound.
    """
    if name == "pocket":
        return POCKET
    folder = Path(name).expanduser()
    if folder.is_dir():
        return folder
    if folder.exists():
        raise ModelNotFound(f"{name} is a file; a model is the folder that holds config.json and the weights.")
    if REPOSITORY.fullmatch(name):
        return _fetch(name, folder)
    raise ModelNotFound(
        f"There is no folder {folder.absolute()}, and {name!r} is no repository of the hub (owner/name). "
        'Give "pocket", a folder, or a name such as Qwen/Qwen2-VL-2B-Instruct.'
    )


def model_path(name: str) -> Path:
    """The folder of a model's files, without fetching one that is not here yet."""
    if name == "pocket":
        return POCKET
    folder = Path(name).expanduser()
    return folder if folder.exists() else Path(constants.HF_HUB_CACHE) / f"models--{name.replace('/', '--')}"


def _fetch(name: str, folder: Path) -> Path:
    try:
        return Path(snapshot_download(name, allow_patterns=NEEDED_FILES))
    except GatedRepoError:
        raise ModelNotFound(f"{name} asks its readers to accept terms first: log in with `hf auth login`.") from None
    except RepositoryNotFoundError:
        raise ModelNotFound(f"The hub has no repository {name!r} that you may read.") from None
    except (LocalEntryNotFoundError, ConnectionError):
        raise ModelNotFound(
            f"{name} could not be fetched: the hub is out of reach. Looked for the folder {folder.absolute()} and for "
            f"an earlier download in {model_path(name)}. Copy the model to one of them, or connect and try again."
        ) from None
    except Exception as error:  # a download can fail in as many ways as the libraries below it know
        raise ModelNotFound(f"{name} could not be fetched: {type(error).__name__}: {error}") from error
