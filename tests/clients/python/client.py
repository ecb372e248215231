"""A client on slixmpp, driven by the tests. Options, commands and events are listed in ../README.md."""

from slixmpp import ClientXMPP

from driven import Driven, emit, run


class Client(Driven, ClientXMPP):
    def __init__(self, options):
        # On loopback, and the servers of the tests have no certificates.
        config = {"feature_mechanisms": {"unencrypted_plain": True, "unencrypted_scram": True}}
        super().__init__(options["jid"], options["secret"], plugin_config=config)
        self.enable_direct_tls = self.enable_starttls = False
        self.enable_plaintext = True
        self.add_event_handler("failed_auth", lambda _: emit("failed", text="wrong password"))
        self.drive(options)

    async def begin(self, event):
        # Servers send answers to subscriptions to those who have asked for the roster.
        await self.get_roster()
        self.send_presence()
        await super().begin(event)

    def own_address(self):
        """The server knows it."""
        return None


run(Client)
