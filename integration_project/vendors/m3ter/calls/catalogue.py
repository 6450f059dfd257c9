"""The organisation, what it sells, and its own integrations."""

from collections.abc import Iterator

from integration_project.vendors.m3ter.calls.speaking import Speaker
from integration_project.vendors.m3ter.entities import (
    IntegrationConfig,
    Meter,
    OrganizationConfig,
    Plan,
    PlanGroup,
    PlanGroupLink,
    PlanTemplate,
    Product,
)


class CatalogueCalls(Speaker):
    """What can be put on an account."""

    def get_organization_config(self) -> OrganizationConfig:
        """Read how the organisation bills, its timezone above all."""
        return self._call("get organization config", "GET", "/organizationconfig", OrganizationConfig.from_m3ter)

    def list_products(self) -> Iterator[Product]:
        """Read all products."""
        return self._list("list products", "/products", Product.from_m3ter)

    def list_plans(self) -> Iterator[Plan]:
        """Read all plans."""
        return self._list("list plans", "/plans", Plan.from_m3ter)

    def list_plan_templates(self) -> Iterator[PlanTemplate]:
        """Read all plan templates."""
        return self._list("list plan templates", "/plantemplates", PlanTemplate.from_m3ter)

    def list_plan_groups(self) -> Iterator[PlanGroup]:
        """Read all plan groups."""
        return self._list("list plan groups", "/plangroups", PlanGroup.from_m3ter)

    def list_plan_group_links(self) -> Iterator[PlanGroupLink]:
        """Read which plan is in which group."""
        return self._list("list plan group links", "/plangrouplinks", PlanGroupLink.from_m3ter)

    def list_meters(self) -> Iterator[Meter]:
        """Read all meters."""
        return self._list("list meters", "/meters", Meter.from_m3ter)

    def list_integration_configs(self) -> Iterator[IntegrationConfig]:
        """Read m3ter's own integrations."""
        return self._list("list integration configs", "/integrationconfigs", IntegrationConfig.from_m3ter)
