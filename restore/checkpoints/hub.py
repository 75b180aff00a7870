"""The Hugging Face Hub: its addresses and cache, downloads and uploads.

The Hub's own client, `huggingface_hub`, does the work. It resumes broken downloads, keeps the cache and honours
HF_TOKEN, `hf auth login`, HF_HOME, HF_HUB_OFFLINE, HF_ENDPOINT and its other variables. It reads them on import, so
functions here import it only when they need the Hub. `hub_client` guards what it exchanges with the server.
`hub_errors` turns its exceptions into a `WeightsError`.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote, unquote

from restore.errors import WeightsError, first_few

if TYPE_CHECKING:
    from huggingface_hub import HFCacheInfo

MODEL = "model.safetensors"  # the usual name in a repository with one set of weights
PICKLES = (".pth", ".pt", ".ckpt", ".bin", ".pkl")
_ADDRESS = re.compile(r"hf://(?P<repo>[^/@]+/[^/@]+)(?:@(?P<revision>[^/@]+))?(?:/(?P<file>[^@]+))?")
_OLD = 24 * 3600  # seconds without a write after which an unfinished download is a leftover


@dataclass(frozen=True)
class Address:
    """A place on the Hub: `hf://owner/name[@revision][/file]`.

    Attributes:
        repo: `owner/name`.
        revision: A commit, branch or tag; None for the branch `main`.
        file: Path in the repository; None for its only weights.
    """

    repo: str
    revision: str | None = None
    file: str | None = None

    @classmethod
    def parse(cls, text: str) -> Address:
        """Parse an address; a slash in a revision is written %2F.

        >>> Address.parse("hf://owner/name@refs%2Fpr%2F1/sub/a.safetensors")
        Address(repo='owner/name', revision='refs/pr/1', file='sub/a.safetensors')

        Raises:
            WeightsError: The text is not an address.
        """
        match = _ADDRESS.fullmatch(text)
        if not match:
            raise WeightsError(f"{text} is not an address on the Hub", hint="write hf://owner/name[@revision][/file]")
        address = cls(match["repo"], unquote(match["revision"]) if match["revision"] else None, match["file"])
        address.check()
        return address

    def check(self) -> None:
        """Refuse a revision or a file that would lead out of the folder of its repository in the cache.

        Raises:
            WeightsError: One of them is not a path of plain names.
        """
        for what, text in (("revision", self.revision), ("file", self.file)):
            if text is not None and not _is_path(text):
                raise WeightsError(
                    f"{text[:200]!r} is not a {what} on the Hub", hint="write names without '..' and '\\\\'"
                )

    def __str__(self) -> str:
        """
        >>> str(Address("owner/name", "refs/pr/1")), str(Address("owner/name", file="a.safetensors"))
        ('hf://owner/name@refs%2Fpr%2F1', 'hf://owner/name/a.safetensors')
        """
        revision = f"@{quote(self.revision, safe='')}" if self.revision else ""
        return f"hf://{self.repo}{revision}" + (f"/{self.file}" if self.file else "")


class Found(NamedTuple):
    """Weights on the Hub.

    Attributes:
        address: With the commit and the file.
        sha256: From the Hub; None for a file that is not in its storage for large files.
        licence: From the metadata of the model card.
        files: All files of the repository.
    """

    address: Address
    sha256: str | None
    licence: str | None
    files: list[str]


class Cached(NamedTuple):
    """A safetensors file in the Hub's cache.

    Attributes:
        address: With the commit and the file.
        path: The file.
        size_bytes: Its size.
        refs: The branches and tags that pointed to the commit at the last request.
    """

    address: Address
    path: Path
    size_bytes: int
    refs: frozenset[str]


def fetch(address: Address, *, download: bool = True, largest: int | None = None) -> Path:
    """A file of the Hub, from the cache on this machine or by download.

    A branch means the cached commit, even if the Hub has a newer one.

    Args:
        address: Without a file: model.safetensors, or the only safetensors file.
        download: Whether a download is allowed.
        largest: Bytes of the largest file that may be downloaded; None: `hub_client.LARGEST_FILE`.

    Raises:
        WeightsError: The file does not exist or cannot be downloaded.
    """
    address.check()
    with _clear_errors(address):
        from huggingface_hub.errors import LocalEntryNotFoundError

        try:
            return _get(address, local_files_only=True)
        except LocalEntryNotFoundError:
            if not download:
                raise WeightsError(f"{address} is not on this machine", hint="use it once to download it") from None
    if address.file is None:
        try:
            file = look_up(address).address.file
        except WeightsError as error:
            names = {address.revision or "main"}
            here = [c for c in cached() if c.address.repo == address.repo and names & {c.address.revision, *c.refs}]
            if error.__cause__ is None or len(here) != 1:  # no cause: the Hub did answer
                raise
            file = here[0].address.file
        # Not the found commit: only a download by branch tells the cache what the branch points to.
        address = replace(address, file=file)
    from restore.checkpoints import hub_client

    with _clear_errors(address, largest=largest or hub_client.LARGEST_FILE), hub_client.without_xet():
        _remove_leftovers(address.repo)
        return _get(address, local_files_only=False)


def _get(address: Address, *, local_files_only: bool) -> Path:
    """A file of the Hub, by its client."""
    import huggingface_hub

    return Path(
        huggingface_hub.hf_hub_download(
            address.repo,
            address.file or MODEL,
            revision=address.revision,
            local_files_only=local_files_only,
            library_name="restore",
        )
    )


def _remove_leftovers(repo: str) -> None:
    """Remove what killed downloads of a repository left in the cache: no write for a day, whoever made it."""
    from huggingface_hub import constants

    for path in Path(constants.HF_HUB_CACHE).glob(f"models--{repo.replace('/', '--')}/blobs/*.incomplete"):
        with suppress(OSError):
            if time.time() - path.lstat().st_mtime > _OLD:
                path.unlink()


def _is_path(text: object) -> bool:
    r"""Whether a text is a relative path that means the same on all systems.

    >>> [_is_path(text) for text in ("a/b.safetensors", "../a", "/a", "a//b", "C:a", "a\\b", "a\0", "a" * 300, None)]
    [True, False, False, False, False, False, False, False, False]
    """
    if not isinstance(text, str) or not text.isprintable() or re.search(r'[\\:*?"<>|]', text) or len(text) > 1000:
        return False
    try:
        parts = [part.encode() for part in text.split("/")]
    except UnicodeEncodeError:
        return False
    return all(part.strip(b". ") and len(part) <= 255 for part in parts)


def stated_sha256(path: Path) -> str | None:
    """The Hub's SHA-256 of a large file, which is the name of the cached file behind the link `path`; else None."""
    name = os.path.basename(os.readlink(path)) if path.is_symlink() else ""
    return name if re.fullmatch(r"[0-9a-f]{64}", name) else None


def look_up(address: Address) -> Found:
    """Ask the Hub which commit and file an address means.

    Raises:
        WeightsError: The repository, revision or file does not exist; or it has no weights, several, or only pickles.
    """
    from restore.checkpoints import hub_client

    address.check()
    with _clear_errors(address, largest=hub_client.LARGEST_TEXT):
        from huggingface_hub import HfApi, constants

        # Without a timeout the client waits for ever.
        timeout = constants.HF_HUB_ETAG_TIMEOUT
        info = HfApi(library_name="restore").model_info(
            address.repo, revision=address.revision, files_metadata=True, timeout=timeout
        )
        # Names that are no paths do not exist for us: they could be printed, or lead out of the cache.
        files = {one.rfilename: one for one in info.siblings or () if _is_path(one.rfilename)}
        file = address.file or _only_weights(address, list(files))
        if file not in files:
            has = first_few(sorted(name for name in files if name.endswith(".safetensors")))
            hint = f"it has {has}" if has else "it has no .safetensors file"
            raise WeightsError(f"{address.repo} has no file {file!r}", hint=hint)
        large, licence = files[file].lfs, info.card_data.get("license") if info.card_data else None
        for value, length, what in ((info.sha, 40, "commit"), (large.sha256 if large else "0" * 64, 64, "SHA-256")):
            if not isinstance(value, str) or not re.fullmatch(f"[0-9a-f]{{{length}}}", value):
                raise hub_client.AnswerError(f"the Hub states no valid {what}")
        return Found(
            replace(address, revision=info.sha, file=file),
            large.sha256 if large else None,
            licence if isinstance(licence, str) and licence.isprintable() and len(licence) < 100 else None,
            list(files),
        )


def cached() -> list[Cached]:
    """The safetensors files in the Hub's cache, ordered by address."""
    scanned = _scan()
    found = [
        Cached(
            Address(repo.repo_id, revision.commit_hash, file.file_path.relative_to(revision.snapshot_path).as_posix()),
            file.file_path,
            file.size_on_disk,
            frozenset(revision.refs),
        )
        for repo in (scanned.repos if scanned else ())
        for revision in repo.revisions
        for file in revision.files
        if repo.repo_type == "model" and file.file_name.endswith(".safetensors")
    ]
    return sorted(found, key=lambda one: str(one.address))


def forget(revision: str) -> None:
    """Remove a commit and its files from the Hub's cache; nothing happens if the cache lacks it."""
    if scanned := _scan():
        scanned.delete_revisions(revision).execute()


def check_login() -> None:
    """Check that there is a token.

    Raises:
        WeightsError: The user is not logged in.
    """
    from huggingface_hub import get_token

    if get_token() is None:
        hint = "log in with `hf auth login`, or set HF_TOKEN to a token with write access"
        raise WeightsError("you are not logged in to the Hub", hint=hint)


def upload(repo: str, files: Mapping[str, Path | bytes], *, private: bool, message: str) -> tuple[Address, str]:
    """Upload files to a repository in one commit; a missing repository is created.

    Args:
        repo: `owner/name`.
        files: Name in the repository -> local path, or content.
        private: Whether only the owner may see the repository; an existing public one is refused.
        message: The commit message.

    Returns:
        The commit, and the URL of its page.

    Raises:
        WeightsError: The Hub refuses.
    """
    address = Address(repo)
    from restore.checkpoints import hub_client

    with _clear_errors(address, "upload to", largest=hub_client.LARGEST_TEXT):
        from huggingface_hub import CommitOperationAdd, HfApi, constants

        api = HfApi(library_name="restore")
        api.create_repo(repo, private=private or None, exist_ok=True)
        if private and not api.model_info(repo).private:
            hint = "make it private on its page, choose another name, or drop --private"
            raise WeightsError(f"{repo} already exists and is public", hint=hint)
        operations = [CommitOperationAdd(name, content) for name, content in files.items()]
        commit = api.create_commit(repo, operations, commit_message=message)
        if not isinstance(commit.oid, str) or not re.fullmatch("[0-9a-f]{40}", commit.oid):
            raise hub_client.AnswerError(
                "the Hub states no valid commit", "see on its page whether the files are there"
            )
        return replace(address, revision=commit.oid), f"{constants.ENDPOINT}/{repo}/commit/{commit.oid}"


def _only_weights(address: Address, files: list[str]) -> str:
    """The weights file of a repository if the user names none."""
    weights = sorted(name for name in files if name.endswith(".safetensors"))
    if MODEL in weights or len(weights) == 1:
        return MODEL if MODEL in weights else weights[0]
    if weights:
        choices = first_few([str(replace(address, file=name)) for name in weights])
        raise WeightsError(f"{address} has {len(weights)} weights files", hint=f"choose one: {choices}")
    pickles = sorted(name for name in files if name.endswith(PICKLES))
    if pickles:
        raise WeightsError(
            f"{address} has only Python pickles, which can run code when opened: {first_few(pickles)}",
            hint="for a checkpoint of a network's authors: download it, then `restore weights import`",
        )
    raise WeightsError(f"{address} has no .safetensors file", hint="see the file list on its page")


def _scan() -> HFCacheInfo | None:
    """The content of the Hub's cache; None if there is no cache yet."""
    from huggingface_hub import CacheNotFound, constants, scan_cache_dir

    try:
        return scan_cache_dir(constants.HF_HUB_CACHE)
    except CacheNotFound:
        return None
    except (OSError, ValueError) as error:
        raise WeightsError("cannot read the Hub's cache", hint="check HF_HOME and HF_HUB_CACHE") from error


@contextmanager
def _clear_errors(address: Address, doing: str = "download", *, largest: int | None = None) -> Iterator[None]:
    """Turn the client's exceptions into a WeightsError, and guard what it exchanges with the server.

    Args:
        address: For the message.
        doing: For the message.
        largest: Bytes of the largest body that may be read; None if the network is not used.
    """
    from restore.checkpoints import hub_client, hub_errors

    exchange = None
    try:
        if largest is None:
            yield
        else:
            with hub_client.guarded(largest) as exchange:
                yield
    except WeightsError:
        raise
    except Exception as error:  # its errors, OSError, ValueError and those of its HTTP library have no common type
        place = repr(address.revision if "Revision" in type(error).__name__ else address.file)
        message, hint = hub_errors.explain(error, address.repo, place, f"cannot {doing} {address}", exchange)
        raise WeightsError(message, hint=hint) from error
