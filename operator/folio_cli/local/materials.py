"""What a local portfolio reads besides its table: keys, certificates, and the folders of its volumes."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path

from folio_api.spec import secret_file
from folio_cli.exits import UsageProblem
from folio_cli.inputs import Given, values
from folio_cli.local.state import StateDir, write_private
from folio_cli.places import source_path
from folio_operator.checks.capacity import volume_of
from folio_operator.checks.supported import source_uris
from folio_operator.copies import copies
from folio_operator.world import Portfolio

TOKEN_BYTES = 32


def parse_volumes(options: list[str]) -> dict[str, Path]:
    """Return NAME -> folder of the --volume options."""
    found: dict[str, Path] = {}
    for option in options:
        name, separator, path = option.partition("=")
        if not (name and separator and path):
            raise UsageProblem(f"--volume {option} is not NAME=PATH", ["write --volume models=./models"])
        folder = Path(path).expanduser().absolute()
        if not folder.is_dir():
            raise UsageProblem(
                f"--volume {name}: {folder} is no folder", ["correct the path, or create the folder"]
            )
        found[name] = folder
    return found


def held_volumes(state: StateDir) -> dict[str, Path]:
    """Return the folders that an earlier `up` was given."""
    if not state.volumes.is_dir():
        return {}
    return {link.name: link.resolve() for link in state.volumes.iterdir() if link.is_dir()}


def needed_volumes(portfolio: Portfolio) -> dict[str, str]:
    """Return every volume that something reads, with the field that names it first."""
    needed: dict[str, str] = {}
    for where, uri in _uris(portfolio):
        name = volume_of(uri)
        if name is not None:
            needed.setdefault(name, where)
    return needed


def _uris(portfolio: Portfolio) -> Iterator[tuple[str, str]]:
    for member in portfolio.members:
        for field, uri in source_uris(member.model.spec):
            yield f"SpecialistModel/{member.entry.specialist} spec.{field}", uri
    if portfolio.policy and portfolio.policy.spec.artifact:
        yield (
            f"RoutingPolicy/{portfolio.policy.key.name} spec.artifact.uri",
            portfolio.policy.spec.artifact.uri,
        )


def missing_volumes(portfolio: Portfolio, volumes: Mapping[str, Path]) -> list[str]:
    return [
        f"{where} reads volume {name}: add --volume {name}=PATH"
        for name, where in sorted(needed_volumes(portfolio).items())
        if name not in volumes
    ]


def missing_files(portfolio: Portfolio, volumes: Mapping[str, Path]) -> list[str]:
    """Return a line per source that is not there; its model alone will fail."""
    found = []
    for where, uri in _uris(portfolio):
        path = source_path(uri, volumes)
        if path is not None and not path.exists():
            found.append(f"{where}: {path} does not exist")
    return found


def place(state: StateDir, given: Given, portfolio: Portfolio, volumes: Mapping[str, Path]) -> None:
    """Put tokens, keys, certificates and volumes where the data plane finds them; all readable by the user
    alone.
    """
    state.create()
    for token in (state.internal_token, state.ray_token):
        if not token.exists():
            write_private(token, secrets.token_hex(TOKEN_BYTES))
    _place_secrets(state, _secret_files(given, portfolio))
    for name, folder in volumes.items():
        _link(state.volumes / name, folder)


def _place_secrets(state: StateDir, files: Mapping[str, str]) -> None:
    """Write what is named, and remove what is named no longer: a tenant that left has no key."""
    for path in state.secrets.iterdir():
        if path.name not in files and path != state.internal_token:
            path.unlink()
    for name, content in files.items():
        write_private(state.secrets / name, content)


def _secret_files(given: Given, portfolio: Portfolio) -> dict[str, str]:
    files = {
        copy.file_of(key): value.decode().strip()
        for copy in copies(portfolio)
        for key, value in values(given, copy).items()
    }
    return {**files, **_certificates(given, portfolio)}


def _certificates(given: Given, portfolio: Portfolio) -> dict[str, str]:
    """Return the files of every caBundle, or say which ConfigMap is missing."""
    files: dict[str, str] = {}
    held = {key.name: found.values for key, found in given.loaded.config_maps.items()}
    for member in portfolio.members:
        external = member.model.spec.external
        reference = external.ca_bundle.config_map_key_ref if external and external.ca_bundle else None
        if reference is None:
            continue
        if reference.key not in held.get(reference.name, {}):
            where = f"SpecialistModel/{member.entry.specialist} spec.external.caBundle"
            fix = "add it as a document to the files"
            raise UsageProblem(f"{where}: no ConfigMap {reference.name} with key {reference.key}", [fix])
        files[secret_file(reference.name, reference.key)] = held[reference.name][reference.key]
    return files


def _link(link: Path, folder: Path) -> None:
    draft = link.with_name(f".{link.name}.new")
    draft.unlink(missing_ok=True)
    draft.symlink_to(folder, target_is_directory=True)
    draft.replace(link)
