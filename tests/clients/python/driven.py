"""What the driven programs have in common: JSON lines in on stdin, JSON lines out on stdout.

The first line of stdin holds the options, then commands, one a line, each with "do"; what happens is reported as lines
with "event". All are listed in ../README.md.
"""

import asyncio
import json
import sys
import xml.etree.ElementTree as ET

from slixmpp.exceptions import IqError, IqTimeout
from slixmpp.xmlstream.handler import Callback
from slixmpp.xmlstream.matcher import MatchXPath

STANZAS_NS = "urn:ietf:params:xml:ns:xmpp-stanzas"
STREAMS_NS = "urn:ietf:params:xml:ns:xmpp-streams"
TEST_NS = "urn:enjamb:test"


def emit(event, **fields):
    fields["event"] = event
    print(json.dumps(fields), flush=True)


def condition_of(element, namespace):
    """The condition and the text of a stanza or stream error."""
    found = [e.tag.split("}")[1] for e in element if e.tag.startswith("{%s}" % namespace)]
    names = [n for n in found if n != "text"]
    return names[0] if names else None, element.findtext("{%s}text" % namespace)


def essentials(xml):
    """What the tests ask of a stanza most often, taken from the library's own tree."""
    namespace, name = xml.tag[1:].split("}")
    # ElementTree gives every namespace a prefix, and relies on there being no default one around the text.
    text = ET.tostring(xml, encoding="unicode").replace(" ", " xmlns='' ", 1)
    out = {"name": name, "namespace": namespace, "xml": text}
    for key in ("from", "to", "id", "type"):
        out[key] = xml.get(key)
    out["body"] = xml.findtext("{%s}body" % namespace)
    error = xml.find("{%s}error" % namespace)
    if error is not None:
        condition, text = condition_of(error, STANZAS_NS)
        out["error"] = {"type": error.get("type"), "condition": condition, "text": text}
    return out


class Driven:
    """Mixed into one of slixmpp's streams."""

    def drive(self, options):
        """Begins to report, and to obey; call it once the stream is made."""
        self.options = options
        self.ending = False
        for plugin in ("xep_0030", "xep_0092", "xep_0199"):
            self.register_plugin(plugin)
        if options.get("manual_roster"):
            self.auto_authorize, self.auto_subscribe = None, False
        self.add_event_handler("session_start", self.begin)
        self.add_event_handler("stream_error", self.on_stream_error)
        self.add_event_handler("disconnected", self.on_disconnected)
        self.add_filter("in", self.on_any)
        for name, answer in (("echo", self.echo), ("refuse", self.refuse)):
            path = "{%s}iq/{%s}%s" % (self.default_ns, TEST_NS, name)
            self.register_handler(Callback(name, MatchXPath(path), answer))

    async def begin(self, _):
        emit("online")

    def on_any(self, stanza):
        if stanza.xml.tag in ["{%s}%s" % (self.default_ns, n) for n in ("iq", "message", "presence")]:
            emit("stanza", **essentials(stanza.xml))
        return stanza

    def on_stream_error(self, error):
        condition, text = condition_of(error.xml, STREAMS_NS)
        emit("error", condition=condition, text=text)

    def on_disconnected(self, _):
        emit("offline")
        if self.options.get("reconnect") and not self.ending:
            # At once the first time; after a refused TCP connect slixmpp waits longer each time by itself.
            self.loop.call_later(0.2, self.connect, self.options["host"], self.options["port"])

    def echo(self, iq):
        reply = iq.reply()
        reply.append(iq.xml.find("{%s}echo" % TEST_NS))
        reply.send()

    def refuse(self, iq):
        reply = iq.reply()
        reply.error()
        reply["error"]["type"] = "auth"
        reply["error"]["condition"] = "forbidden"
        reply["error"]["text"] = "Refused, as asked"
        reply.send()

    async def ask(self, tag, request):
        """Sends a get or set by the library's own means and reports the answer under the command's tag."""
        try:
            answer = (await request).xml
        except IqError as error:
            answer = error.iq.xml
        except IqTimeout:
            emit("iq_timeout", tag=tag)
            return
        emit("iq_result", tag=tag, **essentials(answer))

    def command(self, c):
        do, sender = c["do"], c.get("from") or self.own_address()
        to, tag = c.get("to"), c.get("tag")
        if do == "message":
            message = self.make_message(mto=to, mbody=c.get("body"), mfrom=sender)
            if c.get("id"):
                message["id"] = c["id"]
            if c.get("children_xml"):
                for child in ET.fromstring("<x>%s</x>" % c["children_xml"]):
                    message.append(child)
            message.send()
        elif do == "iq":
            iq = self.make_iq(ifrom=sender, ito=to, itype=c["type"])
            iq.append(ET.fromstring(c["xml"]))
            asyncio.ensure_future(self.ask(tag, iq.send(timeout=15)))
        elif do == "ping":
            asyncio.ensure_future(self.ask(tag, self.plugin["xep_0199"].send_ping(to, ifrom=sender, timeout=15)))
        elif do == "version":
            asyncio.ensure_future(self.ask(tag, self.plugin["xep_0092"].get_version(to, ifrom=sender, timeout=15)))
        elif do == "disco_info":
            asyncio.ensure_future(self.ask(tag, self.plugin["xep_0030"].get_info(to, ifrom=sender, timeout=15)))
        elif do == "disco_items":
            asyncio.ensure_future(self.ask(tag, self.plugin["xep_0030"].get_items(to, ifrom=sender, timeout=15)))
        elif do == "raw":
            self.send_raw(c["xml"])
        elif do == "kill":
            self.transport.abort()
        elif do == "close":
            self.ending = True
            asyncio.ensure_future(self.leave())
        else:
            emit("unknown_command", command=c)

    async def leave(self):
        await self.disconnect()
        emit("closed")
        self.loop.stop()


def run(make):
    """Makes the stream from the options and drives it until the end of stdin."""
    stream = make(json.loads(sys.stdin.readline()))

    async def read_stdin():
        # A thread, since a buffered stdin and add_reader lose lines that came in one read.
        while True:
            line = await stream.loop.run_in_executor(None, sys.stdin.readline)
            if not line:
                stream.loop.stop()
                return
            try:
                stream.command(json.loads(line))
            except Exception as error:  # reported to the test, which fails on it
                emit("failed", text=repr(error), command=line)

    stream.connect(stream.options["host"], stream.options["port"])
    asyncio.ensure_future(read_stdin(), loop=stream.loop)
    stream.loop.run_forever()
