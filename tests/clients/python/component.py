"""A component on slixmpp, driven by the tests. Options, commands and events are listed in ../README.md."""

from pathlib import Path

from slixmpp import ComponentXMPP

from driven import Driven, run


class Component(Driven, ComponentXMPP):
    def __init__(self, options):
        super().__init__(options["jid"], options["secret"], options["host"], options["port"])
        if options.get("subdomain"):
            # slixmpp has no setting for MongooseIM's attribute, but it keeps the header as text.
            self.stream_header = self.stream_header[:-1] + " is_subdomain='true'>"
        # Without this it tries TLS first and then goes on without.
        self.enable_direct_tls = options.get("ca") is not None
        if self.enable_direct_tls:
            self.enable_plaintext = False
            # What it is to look up in DNS; for components it has no name, and this one it does not look up.
            self.tls_services = {"component"}
            self.ca_certs = Path(options["ca"])
        self.drive(options)
        for namespace in options.get("delegated", []):
            # ejabberd asks for both before it delegates the namespace.
            for kind in ("::", ":bare:"):
                node = "urn:xmpp:delegation:1%s%s" % (kind, namespace)
                self.plugin["xep_0030"].add_feature(namespace, node=node)

    def own_address(self):
        return self.options["jid"]


run(Component)
