"""updateCertificate (3.0, sections 6.2.3.1 and 6.2.3.3)."""

from agent.errors import ActionFailed
from agent.vda5050.actions.errands import ErrandHandler, Procedure
from agent.vda5050.actions.registry import ActionKind, Parameter, text_of
from agent.vda5050.messages import Action, ActionScope, ValueType
from agent.vda5050.storage.catalog import Catalog
from agent.vda5050.storage.errand import ReplaceCertificates

SERVICE = "MQTT"
LINKS = {
    "certificate_file": "certificateDownloadLink",
    "key_file": "keyDownloadLink",
    "ca_file": "certificateAuthorityDownloadLink",
}
_TEXT = (ValueType.STRING,)


def update_certificate(catalog: Catalog, action: Action) -> Procedure:
    """Connect with a new certificate, or go back to the old one."""
    del catalog
    service = text_of(action, "service")
    if service != SERVICE:
        raise ActionFailed(f"there are no certificates for {service}, but for {SERVICE}")
    links = {key: text_of(action, name) for key, name in LINKS.items()}
    yield ReplaceCertificates({key: link for key, link in links.items() if link is not None})
    return "the broker has let the robot in with the new certificate"


def certifying_kinds(catalog: Catalog) -> tuple[ActionKind, ...]:
    """Return the actions of a robot that logs in with a certificate."""
    return (
        ActionKind(
            action_type="updateCertificate",
            description="Connects with a new certificate; goes back to the old one if that fails.",
            scopes=(ActionScope.INSTANT,),
            build=lambda: ErrandHandler(catalog, update_certificate),
            parameters=(
                Parameter("service", _TEXT),
                *(
                    Parameter(name, _TEXT, is_optional=key == "ca_file")
                    for key, name in LINKS.items()
                ),
            ),
            result="whether the broker has taken it",
            pause_allowed=False,
            cancel_allowed=False,
        ),
    )
