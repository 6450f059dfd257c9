"""What m3ter's entities are elsewhere."""

from collections.abc import Iterator, Sequence

from integration_project.errors import Conflict, NotFound, VendorRejected
from integration_project.vendors.m3ter.calls.speaking import Speaker, segment
from integration_project.vendors.m3ter.entities import ExternalMapping
from integration_project.vendors.m3ter.errors import not_listed_yet


class MappingCalls(Speaker):
    """External mappings, under our own system's name."""

    def create_external_mapping(self, *, entity: str, m3ter_id: str, table: str, external_id: str) -> ExternalMapping:
        """Note that a m3ter entity is an entity elsewhere."""
        named = {"externalSystem": self._system, "externalTable": table, "externalId": external_id}
        body, path = {"m3terEntity": entity, "m3terId": m3ter_id, **named}, "/externalmappings"
        return self._call("create external mapping", "POST", path, ExternalMapping.from_m3ter, json=body)

    def find_external_mapping(self, *, table: str, external_id: str) -> ExternalMapping | None:
        """The mapping of an entity elsewhere, or None."""
        return next(iter(self.external_mappings_to(table=table, external_id=external_id)), None)

    def external_mappings_to(self, *, table: str, external_id: str) -> tuple[ExternalMapping, ...]:
        """All mappings of an entity elsewhere."""
        path = f"/externalmappings/externalid/{segment(self._system)}/{segment(table)}/{segment(external_id)}"
        return tuple(self._mappings("find external mapping", path))

    def update_external_mapping(self, mapping: ExternalMapping, *, m3ter_id: str) -> ExternalMapping:
        """Have a mapping lead to another m3ter entity of its kind; Temporary when it has changed meanwhile."""
        path, body = f"/externalmappings/{segment(mapping.id)}", mapping.leading_to(m3ter_id)
        try:
            return self._call("update external mapping", "PUT", path, ExternalMapping.from_m3ter, json=body)
        except Conflict as refusal:
            raise not_listed_yet(refusal) from None

    def delete_external_mapping(self, mapping: ExternalMapping) -> None:
        """Take a mapping away; one that is gone already is what was wanted."""
        try:
            path = f"/externalmappings/{segment(mapping.id)}"
            self._call("delete external mapping", "DELETE", path, ExternalMapping.from_m3ter)
        except NotFound:
            return

    def external_mappings_of(self, *, entity: str, m3ter_id: str) -> tuple[ExternalMapping, ...]:
        """Our mappings of a m3ter entity; those of other systems are left out."""
        path = f"/externalmappings/external/{segment(entity)}/{segment(m3ter_id)}"
        mappings = self._mappings("list external mappings", path)
        return tuple(mapping for mapping in mappings if mapping.external_system == self._system)

    def list_external_mappings(self, *, m3ter_ids: Sequence[str]) -> Iterator[ExternalMapping]:
        """Read our mappings of these m3ter entities, many in one call."""
        params = {"externalSystemId": self._system, "m3terIds": ",".join(m3ter_ids)}
        return self._list("list external mappings", "/externalmappings", ExternalMapping.from_m3ter, params)

    def ensure_external_mapping(self, *, entity: str, m3ter_id: str, table: str, external_id: str) -> ExternalMapping:
        """Make a mapping, or find the same one there is already; another target under the same id is a Conflict."""
        try:
            return self.create_external_mapping(entity=entity, m3ter_id=m3ter_id, table=table, external_id=external_id)
        except VendorRejected as refusal:
            taken = refusal.status in {400, 409, 422}
            found = self.find_external_mapping(table=table, external_id=external_id) if taken else None
            if found is None:
                raise not_listed_yet(refusal) from None
            if (found.m3ter_entity, found.m3ter_id) != (entity, m3ter_id):
                raise
            return found

    def _mappings(self, operation: str, path: str) -> tuple[ExternalMapping, ...]:
        """Read a look-up of mappings; that there are none is sometimes a 404, sometimes an empty list."""
        try:
            return tuple(self._list(operation, path, ExternalMapping.from_m3ter))
        except NotFound:
            return ()
