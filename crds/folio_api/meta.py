"""What every resource shares: identity, metadata, references to other objects of the namespace,
conditions.
"""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, GetJsonSchemaHandler
from pydantic.alias_generators import to_camel
from pydantic_core import CoreSchema

from folio_api.markers import FREE_FORM, VALIDATIONS, Rule, list_map
from folio_api.types import DataKey, Line, Name, ObjectName

GROUP = "folio.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
ApiVersion = Literal["folio.dev/v1alpha1"]


class Key(NamedTuple):
    """Which object of its kind."""

    namespace: str
    name: str


class Part(BaseModel):
    """A part of a resource: a value, written in camelCase, with no unknown fields.

    Python names are the snake_case of the written ones; durations end in `_seconds`.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
        serialize_by_alias=True,
        use_attribute_docstrings=True,
    )
    rules: ClassVar[tuple[Rule, ...]] = ()

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        schema = handler.resolve_ref_schema(handler(core))
        if cls.rules:
            schema[VALIDATIONS] = [rule.schema() for rule in cls.rules]
        return schema


class ObjectMeta(Part):
    """The part of an object's metadata that Folio reads; the rest belongs to Kubernetes."""

    name: Line
    """Unique among the objects of this kind in the namespace; at most 40 characters."""
    namespace: ObjectName = "default"
    """Where the object lives; every reference stays inside it."""
    labels: Mapping[str, str] = Field(default_factory=dict)
    annotations: Mapping[str, str] = Field(default_factory=dict)
    generation: int | None = None
    uid: str | None = None
    resource_version: str | None = None
    deletion_timestamp: str | None = None
    generate_name: Any = None
    creation_timestamp: Any = None
    deletion_grace_period_seconds: Any = None
    finalizers: Any = None
    managed_fields: Any = None
    owner_references: Any = None
    self_link: Any = None

    @property
    def key(self) -> Key:
        return Key(self.namespace, self.name)


class Resource(Part):
    """An object of the cluster."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "self.metadata.name.size() <= 40 && self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",
            "the name must be at most 40 lower-case letters, digits and -, begin with a letter and end"
            " with no -: it becomes part of the names of Services",
            field=".metadata.name",
        ),
    )
    api_version: ApiVersion
    metadata: ObjectMeta

    @property
    def key(self) -> Key:
        return self.metadata.key


class ObjectRef(Part):
    """Another Folio object of the same namespace."""

    name: Name
    """Name of the object."""


class SecretRef(Part):
    """A whole Secret of the same namespace."""

    name: ObjectName
    """Name of the Secret."""


class SecretKeyRef(Part):
    """One key of a Secret of the same namespace."""

    name: ObjectName
    """Name of the Secret."""
    key: DataKey
    """Key in the Secret's data."""


class ConfigMapKeyRef(Part):
    """One key of a ConfigMap of the same namespace."""

    name: ObjectName
    """Name of the ConfigMap."""
    key: DataKey
    """Key in the ConfigMap's data."""


class SecretValue(Part):
    """A value that is kept in a Secret."""

    secret_key_ref: SecretKeyRef
    """The Secret, and the key in it."""


class ConfigMapValue(Part):
    """A value that is kept in a ConfigMap."""

    config_map_key_ref: ConfigMapKeyRef
    """The ConfigMap, and the key in it."""


class Condition(Part):
    """One condition, as Kubernetes writes them."""

    type: Annotated[str, Field(max_length=64)]
    """What is claimed, for example Ready."""
    status: Literal["True", "False", "Unknown"]
    """Whether it is so."""
    reason: Annotated[str, Field(max_length=64)]
    """Why, in one CamelCase word."""
    message: Annotated[str, Field(max_length=32768)] = ""
    """Why, in a sentence that names the fix."""
    last_transition_time: Annotated[str, Field(max_length=64)]
    """When `status` last changed."""
    observed_generation: int | None = None
    """The generation of the object that this speaks of."""


Conditions = Annotated[tuple[Condition, ...], Field(max_length=16), list_map("type")]
PodTemplate = Annotated[Mapping[str, Any], Field(max_length=8), FREE_FORM]
"""A partial PodTemplateSpec."""
Labels = Annotated[Mapping[str, Annotated[str, Field(max_length=4096)]], Field(max_length=64)]
