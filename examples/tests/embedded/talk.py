"""slixmpp's ComponentXMPP as it is published talks to the users of an embedded server.

Arguments: port, secret. Ends with 0 if all went as it should.
"""

import asyncio
import os
import sys

from slixmpp import ComponentXMPP
from slixmpp.exceptions import IqError

HOST = "chat.localhost"
JULIET = "juliet@chat.localhost/balcony"
ROMEO = "romeo@bot.localhost/orchard"
STANZAS_NS = "urn:ietf:params:xml:ns:xmpp-stanzas"


def is_no_user(stanza):
    # Read from the tree: for components slixmpp looks for errors in the namespace of clients.
    error = stanza.xml.find("{jabber:component:accept}error")
    text = error.findtext("{%s}text" % STANZAS_NS)
    found = error.find("{%s}item-not-found" % STANZAS_NS) is not None
    return stanza["type"] == "error" and found and text == "this server has no such user"


async def talk(component, messages):
    # A user's answer, and our answer to it, which that user answers.
    component.send_message(mto=JULIET, mfrom=ROMEO, mbody="It is the east.", mtype="chat")
    for says in ("Shall I hear more?", None):
        message = await messages.get()
        assert message["type"] == "chat" and message["body"] == "O Romeo, Romeo!", message
        assert message["from"].full == JULIET and message["to"].full == ROMEO, message
        if says:
            message.reply(says).send()
    # The server's own error, as an answer to a request and to a message.
    try:
        await component["xep_0030"].get_info(jid="mercutio@chat.localhost", ifrom=ROMEO, timeout=10)
        raise AssertionError("there is no such user")
    except IqError as error:
        assert is_no_user(error.iq), error.iq
    component.send_message(mto="mercutio@chat.localhost", mfrom=ROMEO, mbody="?", mtype="chat")
    bounce = await messages.get()
    assert is_no_user(bounce), bounce
    # The host answers, and lists us.
    items = await component["xep_0030"].get_items(jid=HOST, ifrom=ROMEO, timeout=10)
    assert "bot.localhost" in [item[0] for item in items["disco_items"]["items"]], items
    await component["xep_0199"].send_ping(HOST, ifrom=ROMEO, timeout=10)
    assert messages.empty(), messages.get_nowait()


async def main():
    port, secret = int(sys.argv[1]), sys.argv[2]
    component = ComponentXMPP("bot.localhost", secret, "127.0.0.1", port)
    for plugin in ("xep_0030", "xep_0199"):
        component.register_plugin(plugin)
    messages, online = asyncio.Queue(), asyncio.Event()
    component.add_event_handler("session_start", lambda _: online.set())
    component.add_event_handler("message", messages.put_nowait)
    component.add_event_handler("message_error", messages.put_nowait)
    component.connect()
    await asyncio.wait_for(online.wait(), 20)
    await asyncio.wait_for(talk(component, messages), 20)
    await asyncio.wait_for(component.disconnect(), 20)


asyncio.run(main())
