// Bodies of the kinds that are shown here, as values (docs/protocol.md, 4). As storage/kinds/: a body that breaks the
// rules of its kind is no such thing, and counts as of a kind we do not know. Bounds of text count UTF-8 bytes.

const MAX_TEXT_BYTES = 49_152;

function parseBody(kind, fields) {
  try {
    switch (kind) {
      case "post":
        return { kind, ...postOf(fields) };
      case "edit": {
        const { reply, quote, ...version } = postOf(new Map([...fields].filter(([name]) => name !== "reply" && name !== "quote")));
        return { kind, of: entryLink(fields.get("of")), version };
      }
      case "delete":
        return { kind, of: entryLink(fields.get("of")) };
      case "repost":
        return { kind, of: entryLink(fields.get("of")), account: entryLink(fields.get("account")) };
      case "react":
        optional(fields, "saw", entryLink);
        return { kind, to: entryLink(fields.get("to")), account: entryLink(fields.get("account")), emoji: text(fields.get("emoji"), 32) };
      case "follow":
        return { kind, who: entryLink(fields.get("who")) };
      case "profile":
        return {
          kind,
          name: text(fields.get("name"), 200),
          bio: optional(fields, "bio", (bio) => text(bio, 5_000)) ?? "",
          avatar: optional(fields, "avatar", anyLink),
          banner: optional(fields, "banner", anyLink),
          links: items(fields, "links", 8, (link) => text(link, 2_048)),
          handles: items(fields, "handles", 8, (handle) => text(handle, 320)),
        };
      default:
        return null;
    }
  } catch (problem) {
    if (problem instanceof Malformed) return null;
    throw problem;
  }
}

function postOf(fields) {
  return {
    text: text(fields.get("text"), MAX_TEXT_BYTES),
    title: optional(fields, "title", (title) => text(title, 300)),
    lang: optional(fields, "lang", (lang) => text(lang, 35)),
    warning: optional(fields, "warning", (warning) => text(warning, 300)),
    reply: optional(fields, "reply", (reply) => {
      const [root, parent, rootAccount, parentAccount] = ["root", "parent", "root_account", "parent_account"].map((name) => entryLink(map(reply).get(name)));
      return { root, parent, rootAccount, parentAccount };
    }),
    quote: optional(fields, "quote", (quote) => ({ entry: entryLink(map(quote).get("entry")), account: entryLink(map(quote).get("account")) })),
    tags: items(fields, "tags", 16, (tag) => text(tag, 64)),
    mentions: items(fields, "mentions", 32, entryLink),
    media: items(fields, "media", 8, mediaOf),
    imported: optional(fields, "imported", (imported) => {
      const from = map(imported);
      whole(from.get("created"), 0);
      return { source: text(from.get("source"), 300), url: text(from.get("url"), 2_048), id: text(from.get("id"), 300) };
    }),
  };
}

function mediaOf(value) {
  const fields = map(value);
  whole(fields.get("size"), 0);
  return {
    cid: anyLink(fields.get("cid")),
    mime: text(fields.get("mime"), 255),
    alt: text(fields.get("alt"), 5_000),
    width: optional(fields, "width", (pixels) => whole(pixels, 1)),
    height: optional(fields, "height", (pixels) => whole(pixels, 1)),
  };
}

function optional(fields, name, read) {
  return fields.has(name) ? read(fields.get(name)) : null;
}

function items(fields, name, most, read) {
  const list = fields.has(name) ? fields.get(name) : [];
  if (!Array.isArray(list) || list.length > most) throw new Malformed(`${name} is no list of at most ${most}`);
  return list.map(read);
}

function map(value) {
  if (!(value instanceof Map)) throw new Malformed("not a map");
  return value;
}

function text(value, most) {
  if (typeof value !== "string" || utf8.encode(value).length > most) throw new Malformed(`not a text of at most ${most} bytes`);
  return value;
}

function whole(value, least) {
  if (!isInt(value) || value < least) throw new Malformed(`not a number from ${least} on`);
  return value;
}

function anyLink(value) {
  if (!(value instanceof Link)) throw new Malformed("not a link");
  return value.hex;
}

function entryLink(value) {
  if (!(value instanceof Link) || !value.isBlock) throw new Malformed("not a link to a record");
  return value.hex;
}
