"""What somebody may do, in the API server's own words: its reviews, asked as that person or ServiceAccount."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from kubernetes import client

EVERYBODY = ("system:authenticated",)


class Right(NamedTuple):
    """A verb on a resource, `resource/subresource` for a part of one; with a name, on that one object alone."""

    group: str
    resource: str
    verb: str
    name: str = ""

    def __str__(self) -> str:
        kind = f"{self.resource}.{self.group}" if self.group else self.resource
        return f"{self.verb} {kind}" + (f" {self.name}" if self.name else "")


@dataclass(frozen=True)
class Somebody:
    """A person, or a ServiceAccount."""

    user: str
    groups: tuple[str, ...] = EVERYBODY

    @classmethod
    def account(cls, namespace: str, name: str) -> Somebody:
        groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}", *EVERYBODY)
        return cls(f"system:serviceaccount:{namespace}:{name}", groups)

    def connected(self, api: client.ApiClient) -> client.ApiClient:
        """Return a connection on which everything is asked as this person."""
        found = client.ApiClient(api.configuration)
        found.set_default_header("Impersonate-User", self.user)
        return found

    def may(self, api: client.ApiClient, right: Right, namespace: str = "") -> bool:
        resource, _, part = right.resource.partition("/")
        asked = {"group": right.group, "resource": resource, "subresource": part, "verb": right.verb}
        where = {"namespace": namespace, "name": right.name}
        spec = {"user": self.user, "groups": list(self.groups), "resourceAttributes": {**asked, **where}}
        reviews = client.AuthorizationV1Api(api)
        return bool(reviews.create_subject_access_review({"spec": spec}).status.allowed)

    def rights(self, api: client.ApiClient, namespace: str) -> frozenset[Right]:
        """Return all that they may do in a namespace beyond what everybody may."""
        return self._listed(api, namespace) - NOBODY._listed(api, namespace)

    def _listed(self, api: client.ApiClient, namespace: str) -> frozenset[Right]:
        reviews = client.AuthorizationV1Api(self.connected(api))
        found = reviews.create_self_subject_rules_review({"spec": {"namespace": namespace}}).status
        # `incomplete` says little: where nodes have an authorizer of their own, the answer is always that.
        return frozenset(right for rule in found.resource_rules for right in _rights(rule))


NOBODY = Somebody("nobody-in-particular")


def _rights(rule: Any) -> Iterator[Right]:
    for group in rule.api_groups or ():
        for resource in rule.resources or ():
            for verb in rule.verbs:
                yield from (Right(group, resource, verb, name) for name in rule.resource_names or ("",))


def bound(who: Somebody, role: str) -> dict[str, Any]:
    """Return the RoleBinding that gives somebody a ClusterRole in one namespace."""
    group = "rbac.authorization.k8s.io"
    return {
        "metadata": {"name": f"{who.user}-{role}"},
        "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": role},
        "subjects": [{"apiGroup": group, "kind": "User", "name": who.user}],
    }


def rights_to(kinds: Mapping[tuple[str, str], Iterable[str]]) -> frozenset[Right]:
    """Return the rights to these verbs, by group and resource."""
    return frozenset(
        Right(group, resource, verb) for (group, resource), verbs in kinds.items() for verb in verbs
    )
