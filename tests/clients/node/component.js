// A component on xmpp.js, driven by the tests: JSON lines in on stdin, JSON lines out on stdout.
//
// First line of stdin: {"host", "port", "jid", "secret", "subdomain": bool, "reconnect": bool}. Then commands, one a
// line, each with "do"; what happens is reported as lines with "event". Both are listed in ../README.md.
// The packages are found through NODE_PATH: the tests install them outside the sources.
"use strict";

const readline = require("readline");
const { component, xml } = require("@xmpp/component");
const parse = require("@xmpp/xml/lib/parse");

const STANZAS_NS = "urn:ietf:params:xml:ns:xmpp-stanzas";
const TEST_NS = "urn:enjamb:test";
const ANSWER_MS = 15_000;

function emit(event, fields = {}) {
  process.stdout.write(`${JSON.stringify({ ...fields, event })}\n`);
}

// What the tests ask of a stanza most often, taken from the library's own tree.
function essentials(el) {
  const out = { name: el.getName(), namespace: el.getNS() ?? null, xml: el.toString() };
  for (const key of ["from", "to", "id", "type"]) out[key] = el.attrs[key] ?? null;
  out.body = el.getChildText("body");
  const error = el.getChild("error");
  if (error) {
    const condition = error.getChildElements().find((e) => e.getNS() === STANZAS_NS && e.name !== "text");
    out.error = {
      type: error.attrs.type ?? null,
      condition: condition ? condition.name : null,
      text: error.getChildText("text", STANZAS_NS),
    };
  }
  return out;
}

function connectWith(options) {
  const entity = component({
    service: `xmpp://${options.host}:${options.port}`,
    domain: options.jid,
    password: options.secret,
  });
  if (!options.reconnect) entity.reconnect.stop();
  if (options.subdomain) {
    // xmpp.js has no setting for MongooseIM's attribute, but it means this method to be overridden.
    const headerElement = entity.headerElement.bind(entity);
    entity.headerElement = () => {
      const el = headerElement();
      el.attrs.is_subdomain = "true";
      return el;
    };
  }
  entity.on("online", () => emit("online"));
  entity.on("disconnect", () => emit("offline"));
  entity.on("stanza", (stanza) => emit("stanza", essentials(stanza)));
  entity.on("error", (error) => {
    // Stream errors have a condition; a refused TCP connect, a timeout and the like have none.
    emit("error", { condition: error.condition ?? null, text: error.text ?? error.message ?? null });
  });
  entity.iqCallee.get(TEST_NS, "echo", (ctx) => ctx.element);
  entity.iqCallee.get(TEST_NS, "refuse", () =>
    xml("error", { type: "auth" }, xml("forbidden", STANZAS_NS), xml("text", STANZAS_NS, "Refused, as asked")),
  );
  return entity;
}

// Sends a get or set by the library's own means and reports the answer under the command's tag.
async function ask(entity, { tag, to, from }, type, payload) {
  const request = xml("iq", { type, to, ...(from && { from }) }, payload);
  try {
    emit("iq_result", { tag, ...essentials(await entity.iqCaller.request(request, ANSWER_MS)) });
  } catch (error) {
    if (error.name === "StanzaError") emit("iq_result", { tag, ...essentials(error.element.parent) });
    else emit("iq_timeout", { tag, text: String(error) });
  }
}

async function obey(entity, options, c) {
  switch (c.do) {
    case "message": {
      const attrs = { to: c.to, from: c.from ?? options.jid, ...(c.id && { id: c.id }) };
      const children = c.children_xml ? parse(`<x>${c.children_xml}</x>`).children : [];
      const body = c.body === undefined ? [] : [xml("body", {}, c.body)];
      return entity.send(xml("message", attrs, ...body, ...children));
    }
    case "iq":
      return ask(entity, c, c.type, parse(c.xml));
    case "ping":
      return ask(entity, c, "get", xml("ping", "urn:xmpp:ping"));
    case "version":
      return ask(entity, c, "get", xml("query", "jabber:iq:version"));
    case "disco_info":
      return ask(entity, c, "get", xml("query", "http://jabber.org/protocol/disco#info"));
    case "disco_items":
      return ask(entity, c, "get", xml("query", "http://jabber.org/protocol/disco#items"));
    case "raw":
      return entity.write(c.xml);
    case "kill":
      return entity.socket.resetAndDestroy();
    case "close":
      entity.reconnect.stop();
      await entity.stop();
      emit("closed");
      return process.exit(0);
    default:
      return emit("unknown_command", { command: c });
  }
}

let entity;
let options;
const lines = readline.createInterface({ input: process.stdin });
lines.on("line", (line) => {
  const command = JSON.parse(line);
  if (!entity) {
    options = command;
    entity = connectWith(options);
    // A refusal is reported by the "error" event; the promise only repeats it.
    entity.start().catch(() => {});
    return;
  }
  obey(entity, options, command).catch((error) => emit("failed", { text: String(error), command }));
});
lines.on("close", () => process.exit(0));
